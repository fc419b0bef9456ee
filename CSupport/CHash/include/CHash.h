#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// XXH3, 64 bits: for traces, checksums and dbHash. Not for keys an attacker can choose.
uint64_t chash_xxh3_64(const void *bytes, size_t size);
uint64_t chash_xxh3_64_seeded(const void *bytes, size_t size, uint64_t seed);

// The first eight bytes of the MD5, little-endian: what $toHashedIndexKey answers. Not for secrets.
uint64_t chash_md5_64(const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
