#include "CRun.h"

#include <stdlib.h>
#include <string.h>

enum { PUT = 1, DELETE = 2, DROP = 3 };

typedef struct op {
    uint8_t kind;
    uint32_t table;
    uint32_t key_length;
    uint32_t value_length;
    const uint8_t *key;
} op;

static uint32_t load32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static op read_op(const uint8_t *at) {
    return (op){at[0], load32(at + 1), load32(at + 5), load32(at + 9), at + CRUN_HEADER_BYTES};
}

static size_t op_bytes(const op *o) { return CRUN_HEADER_BYTES + (size_t)o->key_length + o->value_length; }

static int compare_keys(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    size_t shared = a_length < b_length ? a_length : b_length;
    int order = shared ? memcmp(a, b, shared) : 0;
    if (order) return order;
    return a_length < b_length ? -1 : a_length > b_length;
}

// Table, then the table's drop (whose key is empty), then key.
static int compare_ops(const op *a, const op *b) {
    if (a->table != b->table) return a->table < b->table ? -1 : 1;
    return compare_keys(a->key, a->key_length, b->key, b->key_length);
}

bool crun_check(const void *operations, size_t length, bool sorted) {
    const uint8_t *at = operations;
    size_t left = length;
    op last = {0};
    bool has_last = false;
    while (left) {
        if (left < CRUN_HEADER_BYTES) return false;
        op o = read_op(at);
        if (o.kind < PUT || o.kind > DROP || o.table == 0) return false;
        if (o.key_length > CRUN_KEY_BYTES_MAX || o.value_length > CRUN_VALUE_BYTES_MAX) return false;
        if ((o.kind == DROP) != (o.key_length == 0)) return false;
        if (o.kind != PUT && o.value_length) return false;
        size_t bytes = op_bytes(&o);
        if (bytes > left) return false;
        if (sorted && has_last && compare_ops(&last, &o) >= 0) return false;
        last = o;
        has_last = true;
        at += bytes;
        left -= bytes;
    }
    return true;
}

// What is compared most of the time: the table and the key's first eight bytes.
typedef struct item {
    uint64_t prefix;
    uint32_t table;
    uint32_t sequence;
    const uint8_t *at;
} item;

static uint64_t key_prefix(const op *o) {
    uint64_t prefix = 0;
    size_t count = o->key_length < 8 ? o->key_length : 8;
    for (size_t i = 0; i < count; i++) prefix |= (uint64_t)o->key[i] << (56 - 8 * i);
    return prefix;
}

static int compare_items(const void *left, const void *right) {
    const item *a = left, *b = right;
    if (a->table != b->table) return a->table < b->table ? -1 : 1;
    if (a->prefix != b->prefix) return a->prefix < b->prefix ? -1 : 1;
    op x = read_op(a->at), y = read_op(b->at);
    int order = compare_keys(x.key, x.key_length, y.key, y.key_length);
    if (order) return order;
    return a->sequence < b->sequence ? -1 : 1;
}

size_t crun_sort(const void *operations, size_t length, void *out) {
    const uint8_t *at = operations, *end = at + length;
    size_t count = 0;
    while (at < end) {
        op o = read_op(at);
        at += op_bytes(&o);
        count++;
    }
    if (count == 0) return 0;
    if (count > UINT32_MAX) return SIZE_MAX;
    item *items = malloc(count * sizeof *items);
    if (!items) return SIZE_MAX;
    at = operations;
    for (size_t i = 0; i < count; i++) {
        op o = read_op(at);
        items[i] = (item){key_prefix(&o), o.table, (uint32_t)i, at};
        at += op_bytes(&o);
    }
    qsort(items, count, sizeof *items, compare_items);
    uint8_t *to = out;
    uint32_t table = 0;
    uint32_t void_before = 0;
    for (size_t i = 0; i < count; i++) {
        op o = read_op(items[i].at);
        if (o.table != table) {
            table = o.table;
            void_before = 0;
        }
        if (i + 1 < count) {
            op next = read_op(items[i + 1].at);
            if (compare_ops(&o, &next) == 0) continue;
        }
        if (o.kind == DROP) {
            void_before = items[i].sequence;
        } else if (items[i].sequence < void_before) {
            continue;
        }
        size_t bytes = op_bytes(&o);
        memcpy(to, items[i].at, bytes);
        to += bytes;
    }
    free(items);
    return (size_t)(to - (uint8_t *)out);
}

crun_status crun_merge_some(
    crun_merge *state, crun_source *sources, size_t count, bool is_oldest, void *out, size_t capacity, size_t *written,
    size_t *needed) {
    uint8_t *to = out;
    size_t room = capacity;
    *written = 0;
    *needed = 0;
    for (;;) {
        // The newest of the sources with the least operation.
        int32_t least = -1;
        op best = {0};
        for (size_t i = 0; i < count; i++) {
            if (sources[i].at == sources[i].end) {
                if (sources[i].is_last) continue;
                *needed = i;
                return CRUN_MORE;
            }
            op o = read_op(sources[i].at);
            if (least < 0 || compare_ops(&o, &best) <= 0) {
                least = (int32_t)i;
                best = o;
            }
        }
        if (least < 0) return CRUN_DONE;
        size_t bytes = op_bytes(&best);
        bool same_table = state->has_table && state->table == best.table;
        bool is_void = same_table && best.kind != DROP && least < state->drop;
        bool is_kept = !is_void && !(is_oldest && best.kind != PUT);
        if (is_kept && bytes > room) {
            *needed = bytes;
            return CRUN_FULL;
        }
        if (!same_table) *state = (crun_merge){best.table, true, -1};
        if (best.kind == DROP) state->drop = least;
        if (is_kept) {
            memcpy(to, best.key - CRUN_HEADER_BYTES, bytes);
            to += bytes;
            room -= bytes;
            *written += bytes;
        }
        // The older ones of the same key have been overruled. `best` points into memory that stays.
        for (size_t i = 0; i < count; i++) {
            if (sources[i].at == sources[i].end) continue;
            op o = read_op(sources[i].at);
            if (compare_ops(&o, &best) == 0) sources[i].at += op_bytes(&o);
        }
    }
}
