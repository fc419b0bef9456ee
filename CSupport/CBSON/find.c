#define _GNU_SOURCE
#include "CBSON.h"
#include <string.h>

const void *cbson_find(const void *bytes, size_t size, const void *wanted, size_t wanted_size) {
    return memmem(bytes, size, wanted, wanted_size);
}
