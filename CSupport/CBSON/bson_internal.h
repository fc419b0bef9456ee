// What the files of this target share: type bytes, unaligned loads, payload sizes, and the rank of each type.
#pragma once
#include "CBSON.h"
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "BSON is read in place, as little-endian");

enum {
    TYPE_END = 0x00,
    TYPE_DOUBLE = 0x01,
    TYPE_STRING = 0x02,
    TYPE_DOCUMENT = 0x03,
    TYPE_ARRAY = 0x04,
    TYPE_BINARY = 0x05,
    TYPE_UNDEFINED = 0x06,
    TYPE_OBJECT_ID = 0x07,
    TYPE_BOOL = 0x08,
    TYPE_DATE_TIME = 0x09,
    TYPE_NULL = 0x0A,
    TYPE_REGEX = 0x0B,
    TYPE_DB_POINTER = 0x0C,
    TYPE_JAVASCRIPT = 0x0D,
    TYPE_SYMBOL = 0x0E,
    TYPE_JAVASCRIPT_WITH_SCOPE = 0x0F,
    TYPE_INT32 = 0x10,
    TYPE_TIMESTAMP = 0x11,
    TYPE_INT64 = 0x12,
    TYPE_DECIMAL128 = 0x13,
    TYPE_MAX_KEY = 0x7F,
    TYPE_MIN_KEY = 0xFF,
};

// MongoDB's type order. The rank of a value's type is also the first byte of its key; numbers and booleans spread over
// the bytes behind their rank. No key starts with 0x00, which ends documents and arrays inside keys, or with 0xFF.
enum {
    RANK_MIN_KEY = 0x10,
    RANK_UNDEFINED = 0x18,
    RANK_NULL = 0x20,
    RANK_NUMBER = 0x28,  // to 0xB3, see bson_number.h
    RANK_STRING = 0xC0,
    RANK_DOCUMENT = 0xC4,
    RANK_ARRAY = 0xC8,
    RANK_BINARY = 0xCC,
    RANK_OBJECT_ID = 0xD0,
    RANK_BOOL = 0xD4,  // false; true is 0xD5
    RANK_DATE_TIME = 0xD8,
    RANK_TIMESTAMP = 0xDC,
    RANK_REGEX = 0xE0,
    RANK_DB_POINTER = 0xE4,
    RANK_JAVASCRIPT = 0xE8,
    RANK_JAVASCRIPT_WITH_SCOPE = 0xEC,
    RANK_MAX_KEY = 0xF0,
};

extern const uint8_t cbson_rank[256];

// Documents nested deeper than any that validation accepts are compared and encoded by length and bytes, so that the
// stack stays bounded whatever a caller built.
enum { NESTING_MAX = 250 };

static inline uint32_t load32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline uint64_t load64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline double load_double(const uint8_t *at) {
    double value;
    memcpy(&value, at, sizeof value);
    return value;
}

// The payload size of a value in a validated document.
static inline size_t payload_size(uint8_t type, const uint8_t *at) {
    switch (type) {
    case TYPE_DOUBLE:
    case TYPE_DATE_TIME:
    case TYPE_TIMESTAMP:
    case TYPE_INT64: return 8;
    case TYPE_INT32: return 4;
    case TYPE_STRING:
    case TYPE_JAVASCRIPT:
    case TYPE_SYMBOL: return 4 + (size_t)load32(at);
    case TYPE_DOCUMENT:
    case TYPE_ARRAY:
    case TYPE_JAVASCRIPT_WITH_SCOPE: return load32(at);
    case TYPE_BINARY: return 5 + (size_t)load32(at);
    case TYPE_OBJECT_ID: return 12;
    case TYPE_BOOL: return 1;
    case TYPE_REGEX: {
        size_t pattern = strlen((const char *)at) + 1;
        return pattern + strlen((const char *)at + pattern) + 1;
    }
    case TYPE_DB_POINTER: return 4 + (size_t)load32(at) + 12;
    case TYPE_DECIMAL128: return 16;
    default: return 0;
    }
}
