// The insides of CTree, shared by its files.
#pragma once
#include "CTree.h"
#include "pool.h"

#include <string.h>

// Entries of a node: its words and pointers are twelve cache lines, fetched side by side, so that a lookup waits for
// memory once a level and once for the entry. Measured at a million keys: 32 and 64 are slower.
#define NODE_ENTRIES 48
// Bytes of the prefix that all keys of a node share, kept in the node itself.
#define PREFIX_MAX 44
// Deeper than any tree that memory can hold: with at least a quarter of the entries in use, 16^16 entries.
#define DEPTH_MAX 16

// A key and its value; a separator of an inner node is one without a value.
typedef struct record {
    uint64_t generation;
    uint32_t key_length;
    uint32_t value_length;
    uint8_t bytes[];
} record;

// Searching goes by `words`: the eight bytes of each key behind the node's shared prefix, big-endian, padded with
// zeros. Only keys whose words are equal are fetched and compared. Entry 0 of an inner node has no separator: it
// holds what is below entry 1.
typedef struct ctree_node {
    uint64_t generation;
    uint16_t count;
    uint8_t is_leaf;
    uint8_t prefix_length;
    uint8_t prefix[PREFIX_MAX];
    uint64_t words[NODE_ENTRIES];
    // Leaf: the entries. Inner node: the separators.
    record *records[NODE_ENTRIES];
    // Inner nodes only; a leaf is allocated without.
    struct ctree_node *children[];
} node;

#define LEAF_BYTES (sizeof(node))
#define INNER_BYTES (sizeof(node) + NODE_ENTRIES * sizeof(node *))

// Something that a snapshot may still see: it waits with the newest snapshot that was open when it was replaced.
typedef struct deferred {
    void *object;
    uint64_t generation;
    // Of a record its bytes; LEAF_BYTES or INNER_BYTES.
    size_t size;
} deferred;

struct ctree {
    ctree_store *store;
    uint32_t id;
    node *root;
    uint64_t count;
    uint64_t bytes;
};

typedef struct table_map {
    // Open addressing by id; a free slot has id 0 (never used for a table) and no tree.
    uint32_t *ids;
    void **values;
    size_t capacity;
    size_t count;
} table_map;

struct ctree_snapshot {
    ctree_store *store;
    uint64_t generation;
    bool is_closed;
    // Newest first, closed ones until their deferred objects are dealt with.
    ctree_snapshot *older, *newer;
    uint32_t *ids;
    ctree_view *views;
    size_t capacity;
    deferred *waiting;
    size_t waiting_count, waiting_capacity;
};

// The root of a dropped tree, with the path of the walk that frees it.
typedef struct ctree_garbage {
    struct ctree_garbage *next;
    node *path[DEPTH_MAX];
    uint16_t position[DEPTH_MAX];
    int depth;
} ctree_garbage;

struct ctree_store {
    ctree_pool pool;
    uint64_t generation;
    // What is not newer than this is seen by an open snapshot, or 0.
    uint64_t shared_generation;
    table_map tables;
    ctree_snapshot *newest;
    // Open snapshots, and closed ones that still hold deferred objects.
    size_t open_count, closed_count;
    ctree_garbage *garbage;
};

void ctree_release(ctree_store *store, void *object, uint64_t generation, size_t size);
void ctree_discard(ctree_store *store, node *root);

static inline size_t record_bytes(size_t key_length, size_t value_length) {
    return sizeof(record) + key_length + value_length;
}

static inline int record_compare(const record *r, const uint8_t *key, size_t key_length, size_t from) {
    size_t shorter = r->key_length < key_length ? r->key_length : key_length;
    if (shorter > from) {
        int order = memcmp(r->bytes + from, key + from, shorter - from);
        if (order != 0) return order;
    }
    return r->key_length < key_length ? -1 : r->key_length > key_length;
}

static inline uint64_t word_at(const uint8_t *key, size_t key_length, size_t from) {
    uint64_t word = 0;
    if (key_length >= from + 8) {
        memcpy(&word, key + from, 8);
        return __builtin_bswap64(word);
    }
    if (key_length <= from) return 0;
    size_t rest = key_length - from;
    if (key_length >= 8) {
        // The last eight bytes, without those in front of `from`.
        memcpy(&word, key + key_length - 8, 8);
        return __builtin_bswap64(word) << (8 - rest) * 8;
    }
    for (size_t i = 0; i < rest; i++) word |= (uint64_t)key[from + i] << (56 - 8 * i);
    return word;
}

// Compares a key of at least `length` bytes with a node's prefix. Prefixes are short, and a call costs more than they
// do.
static inline int prefix_compare(const node *n, const uint8_t *key, size_t key_length, size_t length) {
    size_t at = 0;
    uint64_t a, b;
    for (; length - at >= 8; at += 8) {
        memcpy(&a, key + at, 8);
        memcpy(&b, n->prefix + at, 8);
        if (a != b) return __builtin_bswap64(a) < __builtin_bswap64(b) ? -1 : 1;
    }
    if (at == length) return 0;
    if (key_length < at + 8 || at + 8 > PREFIX_MAX) return memcmp(key + at, n->prefix + at, length - at);
    memcpy(&a, key + at, 8);
    memcpy(&b, n->prefix + at, 8);
    unsigned unused = (unsigned)(8 - (length - at)) * 8;
    a = __builtin_bswap64(a) >> unused;
    b = __builtin_bswap64(b) >> unused;
    return a == b ? 0 : a < b ? -1 : 1;
}

// The first entry of `first ..< count` whose key is not below `key`; `*found` tells whether it is equal. For an inner
// node `first` is 1.
static inline unsigned node_search(
    const node *n, unsigned first, const uint8_t *key, size_t key_length, bool *found) {
    *found = false;
    size_t skip = n->prefix_length;
    if (skip > 0) {
        bool is_short = key_length < skip;
        int order = is_short ? memcmp(key, n->prefix, key_length) : prefix_compare(n, key, key_length, skip);
        if (order < 0 || (order == 0 && is_short)) return first;
        if (order > 0) return n->count;
    }
    uint64_t word = word_at(key, key_length, skip);
    const uint64_t *base = n->words + first;
    unsigned length = n->count - first;
    if (length == 0) return first;
    // Keys often come in order.
    if (n->words[n->count - 1] < word) return n->count;
    while (length > 1) {
        unsigned half = length / 2;
        base += base[half - 1] < word ? half : 0;
        length -= half;
    }
    unsigned low = (unsigned)(base - n->words) + (*base < word);
    // Equal words: the rest of the keys decides.
    unsigned high = low;
    while (high < n->count && n->words[high] == word) high++;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = record_compare(n->records[middle], key, key_length, skip);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

// The child that holds `key`.
static inline unsigned inner_position(const node *n, const uint8_t *key, size_t key_length) {
    bool found;
    unsigned at = node_search(n, 1, key, key_length, &found);
    return found ? at : at - 1;
}

static inline void node_prefetch(const node *n) {
    const char *at = (const char *)n;
    for (size_t line = 0; line < sizeof(node); line += 64) __builtin_prefetch(at + line);
}
