// XXH3, 64 bits: for traces, checksums and dbHash. Not for keys an attacker can choose.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint64_t chash_xxh3_64(const void *bytes, size_t size);
uint64_t chash_xxh3_64_seeded(const void *bytes, size_t size, uint64_t seed);

#ifdef __cplusplus
}
#endif
