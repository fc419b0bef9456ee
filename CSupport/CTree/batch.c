#include "tree.h"

// Core's WriteBatch: kind u8, table u32, key length u32, value length u32, key, value; little-endian.
#define HEADER_BYTES 13
enum { KIND_PUT = 1, KIND_DELETE = 2, KIND_DROP = 3 };
enum { BATCH_OK, BATCH_TRUNCATED, BATCH_KIND, BATCH_TABLE, BATCH_KEY_EMPTY, BATCH_KEY_LONG, BATCH_VALUE_LONG };

typedef struct operation {
    uint8_t kind;
    uint32_t table, key_length, value_length;
} operation;

static inline operation operation_at(const uint8_t *at) {
    operation o = {.kind = at[0]};
    memcpy(&o.table, at + 1, 4);
    memcpy(&o.key_length, at + 5, 4);
    memcpy(&o.value_length, at + 9, 4);
    return o;
}

int ctree_batch_check(const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    while (length > 0) {
        if (length < HEADER_BYTES) return BATCH_TRUNCATED;
        operation o = operation_at(at);
        size_t size = HEADER_BYTES + (size_t)o.key_length + o.value_length;
        if (size > length) return BATCH_TRUNCATED;
        if (o.kind < KIND_PUT || o.kind > KIND_DROP) return BATCH_KIND;
        if (o.table == 0) return BATCH_TABLE;
        if (o.kind != KIND_DROP && o.key_length == 0) return BATCH_KEY_EMPTY;
        if (o.key_length > CTREE_KEY_BYTES_MAX) return BATCH_KEY_LONG;
        if (o.value_length > CTREE_VALUE_BYTES_MAX) return BATCH_VALUE_LONG;
        at += size;
        length -= size;
    }
    return BATCH_OK;
}

const char *ctree_batch_error_text(int error) {
    switch (error) {
    case BATCH_OK: return "no error";
    case BATCH_TRUNCATED: return "a batch ends inside an operation";
    case BATCH_KIND: return "an operation of a batch has an unknown kind";
    case BATCH_TABLE: return "an operation of a batch names table 0";
    case BATCH_KEY_EMPTY: return "a key of a batch is empty";
    case BATCH_KEY_LONG: return "a key of a batch is longer than 16 MiB and 64 KiB";
    case BATCH_VALUE_LONG: return "a value of a batch is longer than 17 MiB";
    default: return "unknown error";
    }
}

void ctree_batch_apply(ctree_store *store, const void *bytes, size_t length) {
    const uint8_t *at = bytes, *end = at + length;
    while (at < end) {
        operation o = operation_at(at);
        const uint8_t *key = at + HEADER_BYTES;
        at = key + o.key_length + o.value_length;
        if (o.kind == KIND_PUT) {
            ctree_put(ctree_make(store, o.table), key, o.key_length, key + o.key_length, o.value_length);
        } else if (o.kind == KIND_DROP) {
            ctree_drop(store, o.table);
        } else {
            ctree *tree = ctree_find(store, o.table);
            if (tree != NULL) ctree_delete(tree, key, o.key_length);
        }
    }
}
