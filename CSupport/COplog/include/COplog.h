// Checksummed, LZ4-compressed frames: sealed oplog blocks, and what members send one another of the oplog.
//
// A frame is a header of 32 bytes, little-endian, and a payload:
//   0 magic "QOPF"   4 version u16   6 flags u16 (1: the payload is not compressed)
//   8 uncompressed bytes u32   12 payload bytes u32   16 entries u32   20 zero u32
//   24 XXH3 of the header's first 24 bytes and the payload, u64
// Reading trusts nothing: lengths, caps and checksum are verified before anything is decompressed, and a frame whose
// content is not exactly as long as it says is refused.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COPLOG_HEADER_BYTES 32
// Largest content of a frame: what one message can carry.
#define COPLOG_CONTENT_BYTES_MAX 50331648u

typedef enum coplog_status {
    COPLOG_OK = 0,
    COPLOG_TOO_SHORT,
    COPLOG_BAD_MAGIC,
    COPLOG_BAD_VERSION,
    COPLOG_BAD_LENGTH,
    COPLOG_TOO_LARGE,
    COPLOG_BAD_CHECKSUM,
    COPLOG_BAD_CONTENT,
    COPLOG_NO_ROOM,
} coplog_status;

typedef struct coplog_info {
    uint32_t content_length;
    uint32_t payload_length;
    uint32_t entry_count;
    bool is_compressed;
} coplog_info;

const char *coplog_status_text(coplog_status status);

// Room that a frame of `length` content bytes needs at most.
size_t coplog_seal_bound(size_t length, bool compress);
// Writes a frame to `frame` and its length to `*written`. Content that LZ4 does not make smaller, or that is not to be
// compressed, is stored as it is.
coplog_status coplog_seal(
    const void *content, size_t length, uint32_t entry_count, bool compress, void *frame, size_t capacity,
    size_t *written);

// Verifies the frame that `frame` consists of: nothing may be missing or follow.
coplog_status coplog_verify(const void *frame, size_t length, coplog_info *info);
// Writes the content of a frame that coplog_verify accepted into `content`, which has room for `capacity` bytes.
coplog_status coplog_open(const void *frame, size_t length, void *content, size_t capacity);

#ifdef __cplusplus
}
#endif
