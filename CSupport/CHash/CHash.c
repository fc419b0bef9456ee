#include "CHash.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t chash_xxh3_64(const void *bytes, size_t size) { return XXH3_64bits(bytes, size); }

uint64_t chash_xxh3_64_seeded(const void *bytes, size_t size, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, size, seed);
}
