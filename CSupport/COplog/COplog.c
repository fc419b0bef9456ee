#include "COplog.h"

#include <lz4.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAGIC 0x46504F51u  // "QOPF"
#define VERSION 1
#define FLAG_RAW 1
#define CHECKSUM_OFFSET 24

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put64(uint8_t *at, uint64_t value) {
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
}

static uint64_t get64(const uint8_t *at) { return get32(at) | (uint64_t)get32(at + 4) << 32; }

static uint64_t checksum(const uint8_t *frame, size_t payload_length) {
    // The header's own hash is the payload's seed, so that one changed byte anywhere changes the sum.
    uint64_t seed = XXH3_64bits(frame, CHECKSUM_OFFSET);
    return XXH3_64bits_withSeed(frame + COPLOG_HEADER_BYTES, payload_length, seed);
}

const char *coplog_status_text(coplog_status status) {
    switch (status) {
    case COPLOG_OK: return "no error";
    case COPLOG_TOO_SHORT: return "the frame is shorter than its header";
    case COPLOG_BAD_MAGIC: return "the frame does not begin as an oplog frame";
    case COPLOG_BAD_VERSION: return "the frame has an unknown version or flags";
    case COPLOG_BAD_LENGTH: return "the frame's lengths do not add up";
    case COPLOG_TOO_LARGE: return "the frame's content is too large";
    case COPLOG_BAD_CHECKSUM: return "the frame's checksum is wrong";
    case COPLOG_BAD_CONTENT: return "the frame's content is not as long as it says";
    case COPLOG_NO_ROOM: return "there is no room for the frame";
    }
    return "unknown error";
}

size_t coplog_seal_bound(size_t length, bool compress) {
    size_t bound = !compress || length > COPLOG_CONTENT_BYTES_MAX ? 0 : (size_t)LZ4_compressBound((int)length);
    return COPLOG_HEADER_BYTES + (bound > length ? bound : length);
}

coplog_status coplog_seal(
    const void *content, size_t length, uint32_t entry_count, bool compress, void *frame, size_t capacity,
    size_t *written) {
    if (length > COPLOG_CONTENT_BYTES_MAX) return COPLOG_TOO_LARGE;
    if (capacity < coplog_seal_bound(length, compress)) return COPLOG_NO_ROOM;
    uint8_t *header = frame, *payload = header + COPLOG_HEADER_BYTES;
    size_t payload_length = 0;
    if (compress && length > 0) {
        int size = LZ4_compress_default(content, (char *)payload, (int)length, (int)(capacity - COPLOG_HEADER_BYTES));
        if (size > 0 && (size_t)size < length) payload_length = (size_t)size;
    }
    bool is_raw = payload_length == 0;
    if (is_raw) {
        if (length > 0) memcpy(payload, content, length);
        payload_length = length;
    }
    put32(header, MAGIC);
    put32(header + 4, VERSION | (is_raw ? (uint32_t)FLAG_RAW << 16 : 0));
    put32(header + 8, (uint32_t)length);
    put32(header + 12, (uint32_t)payload_length);
    put32(header + 16, entry_count);
    put32(header + 20, 0);
    put64(header + CHECKSUM_OFFSET, checksum(header, payload_length));
    *written = COPLOG_HEADER_BYTES + payload_length;
    return COPLOG_OK;
}

coplog_status coplog_verify(const void *frame, size_t length, coplog_info *info) {
    const uint8_t *header = frame;
    if (length < COPLOG_HEADER_BYTES) return COPLOG_TOO_SHORT;
    if (get32(header) != MAGIC) return COPLOG_BAD_MAGIC;
    uint32_t version = get32(header + 4);
    bool is_raw = version >> 16 == FLAG_RAW;
    if ((version & 0xFFFF) != VERSION || version >> 16 > FLAG_RAW || get32(header + 20) != 0) return COPLOG_BAD_VERSION;
    info->content_length = get32(header + 8);
    info->payload_length = get32(header + 12);
    info->entry_count = get32(header + 16);
    info->is_compressed = !is_raw;
    if (info->content_length > COPLOG_CONTENT_BYTES_MAX) return COPLOG_TOO_LARGE;
    if (info->payload_length != length - COPLOG_HEADER_BYTES) return COPLOG_BAD_LENGTH;
    if (is_raw ? info->payload_length != info->content_length : info->payload_length >= info->content_length)
        return COPLOG_BAD_LENGTH;
    // LZ4 cannot expand more than 255 times: a header that says so lies, and nothing is allocated for it.
    if (!is_raw && info->content_length / 255 > info->payload_length) return COPLOG_BAD_LENGTH;
    if (checksum(header, info->payload_length) != get64(header + CHECKSUM_OFFSET)) return COPLOG_BAD_CHECKSUM;
    return COPLOG_OK;
}

coplog_status coplog_open(const void *frame, size_t length, void *content, size_t capacity) {
    coplog_info info;
    coplog_status status = coplog_verify(frame, length, &info);
    if (status != COPLOG_OK) return status;
    if (capacity < info.content_length) return COPLOG_NO_ROOM;
    const uint8_t *payload = (const uint8_t *)frame + COPLOG_HEADER_BYTES;
    if (!info.is_compressed) {
        if (info.content_length > 0) memcpy(content, payload, info.content_length);
        return COPLOG_OK;
    }
    int size = LZ4_decompress_safe(
        (const char *)payload, content, (int)info.payload_length, (int)info.content_length);
    return size == (int)info.content_length ? COPLOG_OK : COPLOG_BAD_CONTENT;
}
