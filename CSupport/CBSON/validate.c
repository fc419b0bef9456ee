// Validation of bytes from outside. Everything else in this target trusts what passed here.
#include "bson_internal.h"
#include "bson_utf8.h"

enum status {
    STATUS_OK,
    STATUS_TOO_SHORT,
    STATUS_BAD_LENGTH,
    STATUS_BEYOND_END,
    STATUS_UNTERMINATED,
    STATUS_TERMINATED_EARLY,
    STATUS_UNKNOWN_TYPE,
    STATUS_NAME_UNTERMINATED,
    STATUS_NOT_UTF8,
    STATUS_BAD_BOOL,
    STATUS_TOO_DEEP,
    STATUS_STRING_LENGTH,
    STATUS_STRING_UNTERMINATED,
    STATUS_BINARY_LENGTH,
    STATUS_SCOPE_LENGTH,
};

const char *cbson_status_text(int status) {
    switch (status) {
    case STATUS_OK: return "valid";
    case STATUS_TOO_SHORT: return "fewer bytes than the smallest document has";
    case STATUS_BAD_LENGTH: return "a document length that is too small or beyond its surroundings";
    case STATUS_BEYOND_END: return "a value that extends beyond its document";
    case STATUS_UNTERMINATED: return "a document without terminator";
    case STATUS_TERMINATED_EARLY: return "a terminator before the document's end";
    case STATUS_UNKNOWN_TYPE: return "an unknown type";
    case STATUS_NAME_UNTERMINATED: return "a field name without terminator";
    case STATUS_NOT_UTF8: return "text that is not UTF-8";
    case STATUS_BAD_BOOL: return "a boolean that is neither 0 nor 1";
    case STATUS_TOO_DEEP: return "documents nested too deep";
    case STATUS_STRING_LENGTH: return "a string length that is too small or beyond its document";
    case STATUS_STRING_UNTERMINATED: return "a string without terminator";
    case STATUS_BINARY_LENGTH: return "a binary length that does not fit";
    case STATUS_SCOPE_LENGTH: return "code with scope whose lengths do not add up";
    default: return "an unknown status";
    }
}

static const uint64_t ONES = ~0ull / 255;
static const uint64_t HIGH_BITS = 0x8080808080808080ull;

// The terminator of the name at `at`, or NULL when there is none before `end`. `*high` gets a set bit when a byte of the
// name is not ASCII. Reads words as long as they lie below `limit`, the end of all readable bytes.
static inline const uint8_t *name_end(
    const uint8_t *at, const uint8_t *end, const uint8_t *limit, uint64_t *high
) {
    uint64_t seen = 0;
    while (limit - at >= 8) {
        uint64_t word = load64(at);
        uint64_t zeros = (word - ONES) & ~word & HIGH_BITS;  // its lowest set bit marks the first zero byte
        if (zeros) {
            *high = seen | (word & HIGH_BITS & ((zeros & -zeros) - 1));
            at += __builtin_ctzll(zeros) >> 3;
            return at < end ? at : NULL;
        }
        seen |= word & HIGH_BITS;
        at += 8;
    }
    for (; at < end; at++) {
        if (*at == 0) {
            *high = seen;
            return at;
        }
        seen |= *at & 0x80;
    }
    return NULL;
}

struct reader {
    const uint8_t *limit;
    const uint8_t *problem;
};

#define FAIL(where, why) return (reader->problem = (where), (why))

// Each of these checks one payload at `at` whose document ends at `end`, and sets `*next` behind it.

static inline enum status check_string(
    struct reader *reader, const uint8_t *at, const uint8_t *end, const uint8_t **next
) {
    if (end - at <= 4) FAIL(at, STATUS_BEYOND_END);
    uint32_t length = load32(at);
    const uint8_t *text = at + 4;
    if (length == 0 || length >= (size_t)(end - text)) FAIL(at, STATUS_STRING_LENGTH);
    const uint8_t *last = text + length - 1;
    if (*last != 0) FAIL(last, STATUS_STRING_UNTERMINATED);
    const uint8_t *invalid = cbson_utf8_invalid(text, last);
    if (invalid) FAIL(invalid, STATUS_NOT_UTF8);
    *next = last + 1;
    return STATUS_OK;
}

static inline enum status check_name(
    struct reader *reader, const uint8_t *at, const uint8_t *end, const uint8_t **next
) {
    uint64_t high = 0;
    const uint8_t *terminator = name_end(at, end, reader->limit, &high);
    if (!terminator) FAIL(at, STATUS_NAME_UNTERMINATED);
    if (high) {
        const uint8_t *invalid = cbson_utf8_invalid(at, terminator);
        if (invalid) FAIL(invalid, STATUS_NOT_UTF8);
    }
    *next = terminator + 1;
    return STATUS_OK;
}

static enum status check_binary(struct reader *reader, const uint8_t *at, const uint8_t *end, const uint8_t **next) {
    if (end - at <= 5) FAIL(at, STATUS_BEYOND_END);
    uint32_t length = load32(at);
    if (length >= (size_t)(end - at - 5)) FAIL(at, STATUS_BINARY_LENGTH);
    if (at[4] == 2 && (length < 4 || load32(at + 5) != length - 4)) FAIL(at + 5, STATUS_BINARY_LENGTH);
    *next = at + 5 + length;
    return STATUS_OK;
}

// The length of the document at `at`, or 0 when it does not fit before `end`. Its last byte is checked by the walk.
static inline uint32_t document_length(const uint8_t *at, const uint8_t *end) {
    if (end - at < 5) return 0;
    uint32_t length = load32(at);
    return length >= 5 && length <= (size_t)(end - at) ? length : 0;
}

// Code with scope: checks lengths and code, and sets `*next` to the scope document, which ends where the value does.
static enum status check_code(struct reader *reader, const uint8_t *at, const uint8_t *end, const uint8_t **next) {
    if (end - at <= 14) FAIL(at, STATUS_BEYOND_END);  // two lengths, an empty string, an empty document
    uint32_t total = load32(at);
    if (total < 14 || total >= (size_t)(end - at)) FAIL(at, STATUS_SCOPE_LENGTH);
    enum status status = check_string(reader, at + 4, at + total, next);
    if (status) return status;
    const uint8_t *scope = *next;
    if (at + total - scope < 5 || load32(scope) != (uint32_t)(at + total - scope)) FAIL(scope, STATUS_SCOPE_LENGTH);
    return STATUS_OK;
}

static enum status walk(struct reader *reader, const uint8_t *at, const uint8_t *end, int depth_max) {
    const uint8_t *ends[NESTING_MAX];
    int depth = 0;
    for (;;) {
        // Here at < end: each payload is checked to leave room for the terminator behind it.
        uint8_t type = *at;
        const uint8_t *element = at;
        if (type == TYPE_END) {
            if (at + 1 != end) FAIL(at, STATUS_TERMINATED_EARLY);
            if (depth == 0) return STATUS_OK;
            at = end;
            end = ends[--depth];
            continue;
        }
        enum status status = check_name(reader, at + 1, end, &at);
        if (status) return status;
        size_t fixed = 0;
        switch (type) {
        case TYPE_DOUBLE:
        case TYPE_DATE_TIME:
        case TYPE_TIMESTAMP:
        case TYPE_INT64: fixed = 8; break;
        case TYPE_INT32: fixed = 4; break;
        case TYPE_OBJECT_ID: fixed = 12; break;
        case TYPE_DECIMAL128: fixed = 16; break;
        case TYPE_UNDEFINED:
        case TYPE_NULL:
        case TYPE_MAX_KEY:
        case TYPE_MIN_KEY: break;
        case TYPE_BOOL:
            if (at < end && *at > 1) FAIL(at, STATUS_BAD_BOOL);
            fixed = 1;
            break;
        case TYPE_STRING:
        case TYPE_JAVASCRIPT:
        case TYPE_SYMBOL:
            if ((status = check_string(reader, at, end, &at))) return status;
            break;
        case TYPE_BINARY:
            if ((status = check_binary(reader, at, end, &at))) return status;
            break;
        case TYPE_REGEX:
            if ((status = check_name(reader, at, end, &at))) return status;
            if ((status = check_name(reader, at, end, &at))) return status;
            break;
        case TYPE_DB_POINTER:
            if ((status = check_string(reader, at, end, &at))) return status;
            fixed = 12;
            break;
        case TYPE_JAVASCRIPT_WITH_SCOPE:
            if ((status = check_code(reader, at, end, &at))) return status;
            // fall through: `at` is the scope document
        case TYPE_DOCUMENT:
        case TYPE_ARRAY: {
            uint32_t length = document_length(at, end - 1);
            if (length == 0) FAIL(at, STATUS_BAD_LENGTH);
            if (depth >= depth_max) FAIL(element, STATUS_TOO_DEEP);
            if (at[length - 1] != 0) FAIL(at + length - 1, STATUS_UNTERMINATED);
            ends[depth++] = end;
            end = at + length;
            at += 4;
            continue;
        }
        default: FAIL(element, STATUS_UNKNOWN_TYPE);
        }
        if ((size_t)(end - at) <= fixed) FAIL(at, STATUS_BEYOND_END);
        at += fixed;
    }
}

int cbson_validate(const void *bytes, size_t size, int depth_max, size_t *offset) {
    const uint8_t *base = bytes;
    *offset = 0;
    if (size < 5) return STATUS_TOO_SHORT;
    uint32_t length = document_length(base, base + size);
    if (length == 0) return STATUS_BAD_LENGTH;
    if (base[length - 1] != 0) {
        *offset = length - 1;
        return STATUS_UNTERMINATED;
    }
    struct reader reader = {.limit = base + size, .problem = base};
    enum status status = walk(&reader, base + 4, base + length, depth_max < NESTING_MAX ? depth_max : NESTING_MAX);
    *offset = (size_t)(reader.problem - base);
    return (int)status;
}
