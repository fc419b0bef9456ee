// Random operations on CTree against a sorted array, with snapshots that are compared with copies of the array.
// Usage: tree-stress SEED OPERATIONS. Run by scripts/check-storage under the address sanitizer.
#include "CTree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    unsigned char key[64];
    size_t key_length;
    unsigned char *value;
    size_t value_length;
} entry;

typedef struct model {
    entry *entries;
    size_t count;
} model;

#define SNAPSHOTS 4
static uint64_t state;
static unsigned key_kind;

static uint64_t next_random(void) {
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static size_t below(size_t bound) { return (size_t)(next_random() % bound); }

static int key_compare(const void *a, size_t a_length, const void *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

static size_t model_search(const model *m, const void *key, size_t length, bool *found) {
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (key_compare(m->entries[middle].key, m->entries[middle].key_length, key, length) < 0) low = middle + 1;
        else high = middle;
    }
    *found = low < m->count && key_compare(m->entries[low].key, m->entries[low].key_length, key, length) == 0;
    return low;
}

static void fail(const char *what) {
    printf("FAILED: %s\n", what);
    exit(1);
}

static size_t random_key(unsigned char *key) {
    size_t length;
    switch (key_kind) {
    case 0:  // short keys over few bytes: prefixes of one another, zeros
        length = 1 + below(6);
        for (size_t i = 0; i < length; i++) key[i] = (unsigned char)below(3);
        return length;
    case 1: {  // record ids
        uint64_t id = __builtin_bswap64(below(3000));
        memcpy(key, &id, 8);
        return 8;
    }
    case 2:  // long shared prefixes, longer than a node keeps
        length = 40 + below(20);
        memset(key, 'p', length);
        key[below(length)] = (unsigned char)('p' + below(3));
        key[length - 1] = (unsigned char)below(256);
        return length;
    default:
        length = 1 + below(20);
        for (size_t i = 0; i < length; i++) key[i] = (unsigned char)below(256);
        return length;
    }
}

static model model_copy(const model *m) {
    model copy = {.entries = malloc((m->count + 1) * sizeof *copy.entries), .count = m->count};
    for (size_t i = 0; i < m->count; i++) {
        copy.entries[i] = m->entries[i];
        copy.entries[i].value = malloc(m->entries[i].value_length + 1);
        memcpy(copy.entries[i].value, m->entries[i].value, m->entries[i].value_length);
    }
    return copy;
}

static void model_free(model *m) {
    for (size_t i = 0; i < m->count; i++) free(m->entries[i].value);
    free(m->entries);
}

static void row_check(const ctree_row *row, const entry *e) {
    if (key_compare(row->key, row->key_length, e->key, e->key_length) != 0) fail("a scan's key");
    if (row->value_length != e->value_length || memcmp(row->value, e->value, e->value_length) != 0) fail("a value");
}

static void compare_all(ctree_view view, const model *m) {
    const char *problem = ctree_check(&view);
    if (problem != NULL) fail(problem);
    if (view.count != m->count) fail("the count");
    static ctree_row rows[100000];
    if (ctree_fill(&view, CTREE_START, NULL, 0, false, rows, 100000) != m->count) fail("a full scan's length");
    for (size_t i = 0; i < m->count; i++) row_check(&rows[i], &m->entries[i]);
    if (ctree_fill(&view, CTREE_START, NULL, 0, true, rows, 100000) != m->count) fail("a backward scan's length");
    for (size_t i = 0; i < m->count; i++) row_check(&rows[i], &m->entries[m->count - 1 - i]);
}

static void compare_scan(ctree_view view, const model *m) {
    unsigned char key[64];
    size_t length = random_key(key), limit = 1 + below(100);
    bool backward = below(2), including = below(2), found;
    long at = (long)model_search(m, key, length, &found);
    if (backward) at = found && including ? at : at - 1;
    else at = found && !including ? at + 1 : at;
    ctree_row rows[100];
    size_t filled = ctree_fill(&view, including ? CTREE_INCLUDING : CTREE_BEHIND, key, length, backward, rows, limit);
    for (size_t i = 0; i < filled; i++, at += backward ? -1 : 1) {
        if (at < 0 || at >= (long)m->count) fail("a scan runs too far");
        row_check(&rows[i], &m->entries[at]);
    }
    if (filled < limit && at >= 0 && at < (long)m->count) fail("a scan ends too early");
}

// Many reads at once, in order or not, find what single ones find.
static void compare_many(ctree_view view) {
    uint64_t ids[130];
    const void *keys[130];
    ctree_row rows[130], row;
    size_t count = below(130), start = below(3000), hits = 0;
    for (size_t i = 0; i < count; i++) {
        ids[i] = __builtin_bswap64(below(3) == 0 ? below(3000) : start + i);
        keys[i] = &ids[i];
    }
    size_t found = ctree_get_many(&view, keys, 8, rows, count);
    for (size_t i = 0; i < count; i++) {
        bool is_there = ctree_get(&view, keys[i], 8, &row);
        if (is_there != (rows[i].key != NULL)) fail("what many reads find");
        if (is_there && (rows[i].value != row.value || rows[i].value_length != row.value_length)) fail("many values");
        hits += is_there;
    }
    if (hits != found) fail("how many are found");
}

static void model_put(model *m, const unsigned char *key, size_t length, const void *value, size_t value_length) {
    bool found;
    size_t at = model_search(m, key, length, &found);
    if (!found) {
        m->entries = realloc(m->entries, (m->count + 1) * sizeof *m->entries);
        memmove(m->entries + at + 1, m->entries + at, (m->count - at) * sizeof *m->entries);
        m->count++;
        memcpy(m->entries[at].key, key, length);
        m->entries[at].key_length = length;
    } else {
        free(m->entries[at].value);
    }
    m->entries[at].value = malloc(value_length + 1);
    memcpy(m->entries[at].value, value, value_length);
    m->entries[at].value_length = value_length;
}

static void operate(ctree *tree, model *m, unsigned delete_share, uint64_t sequence) {
    static unsigned char value[20000];
    unsigned char key[64];
    bool found;
    size_t length = random_key(key);
    if (below(100) < delete_share) {
        size_t at = model_search(m, key, length, &found);
        if (ctree_delete(tree, key, length) != found) fail("what delete says");
        if (!found) return;
        free(m->entries[at].value);
        memmove(m->entries + at, m->entries + at + 1, (m->count - at - 1) * sizeof *m->entries);
        m->count--;
        return;
    }
    size_t value_length = below(50) == 0 ? below(sizeof value) : below(100);
    memset(value, (int)sequence, value_length);
    model_search(m, key, length, &found);
    if (below(8) == 0) {
        if (ctree_insert(tree, key, length, value, value_length) == found) fail("what insert says");
        if (found) return;
    } else if (ctree_put(tree, key, length, value, value_length) != found) {
        fail("what put says");
    }
    model_put(m, key, length, value, value_length);
}

int main(int argc, char **argv) {
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    size_t operations = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    key_kind = (unsigned)(state % 4);
    ctree_store *store = ctree_store_create();
    uint32_t id = 7;
    ctree *tree = ctree_make(store, id);
    model now = {0};
    ctree_snapshot *snapshots[SNAPSHOTS] = {0};
    model copies[SNAPSHOTS] = {0};
    uint32_t ids[SNAPSHOTS] = {0};
    unsigned delete_share = 40;
    for (size_t i = 0; i < operations; i++) {
        if (i % 3000 == 0) delete_share = 5 + (unsigned)below(90);
        operate(tree, &now, delete_share, i);
        if (below(4) == 0) compare_scan(ctree_current(tree), &now);
        if (below(200) == 0) {
            size_t slot = below(SNAPSHOTS);
            if (snapshots[slot] != NULL) {
                compare_all(ctree_snapshot_view(snapshots[slot], ids[slot]), &copies[slot]);
                ctree_snapshot_close(snapshots[slot]);
                model_free(&copies[slot]);
                snapshots[slot] = NULL;
            } else {
                snapshots[slot] = ctree_snapshot_open(store);
                copies[slot] = model_copy(&now);
                ids[slot] = id;
            }
        }
        if (below(500) == 0) compare_all(ctree_current(tree), &now);
        if (below(50) == 0) compare_many(ctree_current(tree));
        if (below(5000) == 0) {
            if (below(2) == 0) {
                ctree_clear(tree);
            } else {
                ctree_drop(store, id++);
                tree = ctree_make(store, id);
            }
            model_free(&now);
            now = (model){0};
        }
    }
    for (size_t slot = 0; slot < SNAPSHOTS; slot++) {
        if (snapshots[slot] == NULL) continue;
        compare_all(ctree_snapshot_view(snapshots[slot], ids[slot]), &copies[slot]);
        ctree_snapshot_close(snapshots[slot]);
        model_free(&copies[slot]);
    }
    ctree_drop(store, id);
    while (!ctree_store_collect(store, 1000)) {}
    model_free(&now);
    // With one allocation an object nothing may be left; slabs keep one empty chunk.
    size_t left = ctree_store_memory(store);
    if (left > (2u << 20)) fail("memory is left when everything was dropped");
#ifdef CTREE_PLAIN_MALLOC
    if (left != 0) fail("objects are left when everything was dropped");
#endif
    ctree_store_destroy(store);
    printf("seed %s: %zu operations agree\n", argc > 1 ? argv[1] : "1", operations);
    return 0;
}
