// MongoDB's comparison order across all types.
#include "bson_internal.h"
#include "bson_number.h"

const uint8_t cbson_rank[256] = {
    [TYPE_MIN_KEY] = RANK_MIN_KEY,
    [TYPE_UNDEFINED] = RANK_UNDEFINED,
    [TYPE_NULL] = RANK_NULL,
    [TYPE_DOUBLE] = RANK_NUMBER,
    [TYPE_INT32] = RANK_NUMBER,
    [TYPE_INT64] = RANK_NUMBER,
    [TYPE_DECIMAL128] = RANK_NUMBER,
    [TYPE_STRING] = RANK_STRING,
    [TYPE_SYMBOL] = RANK_STRING,
    [TYPE_DOCUMENT] = RANK_DOCUMENT,
    [TYPE_ARRAY] = RANK_ARRAY,
    [TYPE_BINARY] = RANK_BINARY,
    [TYPE_OBJECT_ID] = RANK_OBJECT_ID,
    [TYPE_BOOL] = RANK_BOOL,
    [TYPE_DATE_TIME] = RANK_DATE_TIME,
    [TYPE_TIMESTAMP] = RANK_TIMESTAMP,
    [TYPE_REGEX] = RANK_REGEX,
    [TYPE_DB_POINTER] = RANK_DB_POINTER,
    [TYPE_JAVASCRIPT] = RANK_JAVASCRIPT,
    [TYPE_JAVASCRIPT_WITH_SCOPE] = RANK_JAVASCRIPT_WITH_SCOPE,
    [TYPE_MAX_KEY] = RANK_MAX_KEY,
};

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_bytes(const uint8_t *a, size_t size_a, const uint8_t *b, size_t size_b) {
    int order = memcmp(a, b, size_a < size_b ? size_a : size_b);
    return order ? order : ORDER(size_a, size_b);
}

// Values with a length prefix and a terminator: strings, symbols, code.
static int compare_text(const uint8_t *a, const uint8_t *b) {
    return compare_bytes(a + 4, load32(a) - 1, b + 4, load32(b) - 1);
}

static int compare_numbers(uint8_t type_a, const uint8_t *a, uint8_t type_b, const uint8_t *b) {
    bool small_a = type_a == TYPE_INT32 || type_a == TYPE_INT64;
    bool small_b = type_b == TYPE_INT32 || type_b == TYPE_INT64;
    if (small_a && small_b) {
        int64_t left = type_a == TYPE_INT32 ? (int32_t)load32(a) : (int64_t)load64(a);
        int64_t right = type_b == TYPE_INT32 ? (int32_t)load32(b) : (int64_t)load64(b);
        return ORDER(left, right);
    }
    if (type_a == TYPE_DOUBLE && type_b == TYPE_DOUBLE) {
        double left = load_double(a), right = load_double(b);
        if (left == left && right == right) return ORDER(left, right);
        return (left == left) - (right == right);  // NaN is the smallest number and equals itself
    }
    struct number left = cbson_number(type_a, a), right = cbson_number(type_b, b);
    return cbson_number_compare(&left, &right);
}

static int compare_values(uint8_t type_a, const uint8_t *a, uint8_t type_b, const uint8_t *b, int depth);

// Field by field: type, name (not of array elements), value; a document that ends first is smaller.
static int compare_fields(const uint8_t *a, const uint8_t *b, bool names, int depth) {
    if (depth > NESTING_MAX) {
        int order = ORDER(load32(a), load32(b));
        return order ? order : memcmp(a, b, load32(a));
    }
    a += 4;
    b += 4;
    for (;;) {
        uint8_t type_a = *a++, type_b = *b++;
        if (type_a == TYPE_END || type_b == TYPE_END) return (type_a != TYPE_END) - (type_b != TYPE_END);
        int order = (int)cbson_rank[type_a] - (int)cbson_rank[type_b];
        if (order) return order;
        size_t name_a = strlen((const char *)a), name_b = strlen((const char *)b);
        if (names && (order = compare_bytes(a, name_a, b, name_b))) return order;
        a += name_a + 1;
        b += name_b + 1;
        if ((order = compare_values(type_a, a, type_b, b, depth))) return order;
        a += payload_size(type_a, a);
        b += payload_size(type_b, b);
    }
}

static int compare_values(uint8_t type_a, const uint8_t *a, uint8_t type_b, const uint8_t *b, int depth) {
    uint8_t rank = cbson_rank[type_a];
    int order = (int)rank - (int)cbson_rank[type_b];
    if (order) return order;
    switch (rank) {
    case RANK_NUMBER: return compare_numbers(type_a, a, type_b, b);
    case RANK_STRING:
    case RANK_JAVASCRIPT: return compare_text(a, b);
    case RANK_DOCUMENT: return compare_fields(a, b, true, depth + 1);
    case RANK_ARRAY: return compare_fields(a, b, false, depth + 1);
    case RANK_BINARY:
        order = ORDER(load32(a), load32(b));
        return order ? order : memcmp(a + 4, b + 4, 1 + (size_t)load32(a));  // subtype, then bytes
    case RANK_OBJECT_ID: return memcmp(a, b, 12);
    case RANK_BOOL: return (int)(*a != 0) - (int)(*b != 0);
    case RANK_DATE_TIME: return ORDER((int64_t)load64(a), (int64_t)load64(b));
    case RANK_TIMESTAMP: return ORDER(load64(a), load64(b));
    case RANK_REGEX:
        order = strcmp((const char *)a, (const char *)b);
        if (order) return order;
        size_t options = strlen((const char *)a) + 1;
        return strcmp((const char *)a + options, (const char *)b + options);
    case RANK_DB_POINTER:
        order = ORDER(load32(a), load32(b));
        return order ? order : memcmp(a + 4, b + 4, (size_t)load32(a) + 12);
    case RANK_JAVASCRIPT_WITH_SCOPE:
        order = compare_text(a + 4, b + 4);
        if (order) return order;
        return compare_fields(a + 8 + load32(a + 4), b + 8 + load32(b + 4), true, depth + 1);
    default: return 0;
    }
}

int cbson_compare_values(uint8_t type_a, const void *a, uint8_t type_b, const void *b) {
    return compare_values(type_a, a, type_b, b, 0);
}

int cbson_compare_documents(const void *a, const void *b) { return compare_fields(a, b, true, 0); }
