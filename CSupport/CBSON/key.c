// Order-preserving keys: memcmp of two keys is the order of their values, and every key ends itself.
//
// A key is the rank of its type (for numbers the bracket) and a payload:
//   numbers          see number.c
//   text             the bytes with 00 as 01 01 and 01 as 01 02, then 00
//   document         for each field the rank, the name as text and the value's key; then 00
//   array            the elements' keys, then 00
//   binary           length (big-endian), subtype, bytes
//   dates            big-endian, the sign bit flipped
//   the rest         big-endian or the bytes as they are
// A descending key is the same with every bit inverted.
#include "bson_internal.h"
#include "bson_number.h"

// Holds because no value's key is longer than twice its payload and two bytes: text doubles at worst, an empty payload
// has a key of one byte, a decimal's key has 29 bytes for 16.
size_t cbson_key_size_max(uint8_t type, const void *value) { return 2 * payload_size(type, value) + 2; }

static inline uint8_t *append_big_endian32(uint32_t value, uint8_t *out) {
    value = __builtin_bswap32(value);
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

static inline uint8_t *append_big_endian64(uint64_t value, uint8_t *out) {
    value = __builtin_bswap64(value);
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

static uint8_t *append_text(const uint8_t *text, size_t length, uint8_t *out) {
    const uint64_t ones = ~0ull / 255;
    const uint8_t *end = text + length;
    while (text < end) {
        if (end - text >= 8) {
            uint64_t word = load64(text);
            if (((word - 2 * ones) & ~word & (ones << 7)) == 0) {  // no byte below 2
                memcpy(out, &word, 8);
                text += 8;
                out += 8;
                continue;
            }
        }
        uint8_t byte = *text++;
        if (byte < 2) {
            *out++ = 1;
            byte++;
        }
        *out++ = byte;
    }
    *out++ = 0;
    return out;
}

static uint8_t *append_bytes(const uint8_t *bytes, size_t length, uint8_t *out) {
    memcpy(out, bytes, length);
    return out + length;
}

static uint8_t *append_value(uint8_t type, const uint8_t *value, uint8_t *out, int depth);

static uint8_t *append_fields(const uint8_t *document, bool names, uint8_t *out, int depth) {
    if (depth > NESTING_MAX) {
        out = append_big_endian32(load32(document), out);
        return append_bytes(document, load32(document), out);
    }
    const uint8_t *at = document + 4;
    for (uint8_t type; (type = *at++) != TYPE_END;) {
        size_t length = strlen((const char *)at);
        if (names) {
            *out++ = cbson_rank[type];
            out = append_text(at, length, out);
        }
        at += length + 1;
        out = append_value(type, at, out, depth);
        at += payload_size(type, at);
    }
    *out++ = 0;
    return out;
}

static uint8_t *append_value(uint8_t type, const uint8_t *value, uint8_t *out, int depth) {
    uint8_t rank = cbson_rank[type];
    if (rank == RANK_NUMBER) {
        struct number number = cbson_number(type, value);
        return cbson_number_key(&number, out);
    }
    *out++ = rank;
    switch (rank) {
    case RANK_STRING:
    case RANK_JAVASCRIPT: return append_text(value + 4, load32(value) - 1, out);
    case RANK_DOCUMENT: return append_fields(value, true, out, depth + 1);
    case RANK_ARRAY: return append_fields(value, false, out, depth + 1);
    case RANK_BINARY:
        out = append_big_endian32(load32(value), out);
        return append_bytes(value + 4, 1 + (size_t)load32(value), out);
    case RANK_OBJECT_ID: return append_bytes(value, 12, out);
    case RANK_BOOL:
        out[-1] = RANK_BOOL + (*value != 0);
        return out;
    case RANK_DATE_TIME: return append_big_endian64(load64(value) ^ 1ull << 63, out);
    case RANK_TIMESTAMP: return append_big_endian64(load64(value), out);
    case RANK_REGEX: {
        size_t pattern = strlen((const char *)value);
        out = append_text(value, pattern, out);
        return append_text(value + pattern + 1, strlen((const char *)value + pattern + 1), out);
    }
    case RANK_DB_POINTER:
        out = append_big_endian32(load32(value), out);
        return append_bytes(value + 4, (size_t)load32(value) + 12, out);
    case RANK_JAVASCRIPT_WITH_SCOPE:
        out = append_text(value + 8, load32(value + 4) - 1, out);
        return append_fields(value + 8 + load32(value + 4), true, out, depth + 1);
    default: return out;
    }
}

size_t cbson_key_append(uint8_t type, const void *value, bool descending, uint8_t *out) {
    size_t size = (size_t)(append_value(type, value, out, 0) - out);
    if (descending) {
        for (size_t i = 0; i < size; i++) out[i] = (uint8_t)~out[i];
    }
    return size;
}
