#include "CBSON.h"
#include <stdio.h>

int cbson_format_double(double value, int digits, char *out, size_t size) {
    int length = snprintf(out, size, "%.*e", digits - 1, value);
    if (length < 0 || (size_t)length >= size) return 0;
    for (int i = 0; i < length; i++) {
        if (out[i] == ',') out[i] = '.';  // the decimal separator of some locales
    }
    return length;
}
