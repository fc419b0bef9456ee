// Reads snapshots of CTree in a second thread while the first writes, for the thread sanitizer.
// Run by scripts/check-storage.
#include "CTree.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 20000
#define ROUNDS 20

typedef struct reading {
    ctree_view view;
    uint64_t sum;
    uint64_t count;
} reading;

static uint64_t state = 1;

static uint64_t next_random(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

static void add(reading *r) {
    static __thread ctree_row rows[64];
    size_t filled = ctree_fill(&r->view, CTREE_START, NULL, 0, false, rows, 64);
    r->sum = r->count = 0;
    while (filled > 0) {
        for (size_t i = 0; i < filled; i++) r->sum += *(const uint8_t *)rows[i].value * (r->count + i + 1);
        r->count += filled;
        filled = ctree_fill(&r->view, CTREE_BEHIND, rows[filled - 1].key, rows[filled - 1].key_length, false, rows, 64);
    }
}

static void *read_many(void *argument) {
    reading *r = argument;
    uint64_t first = 0;
    for (int i = 0; i < 3; i++) {
        add(r);
        if (i > 0 && r->sum != first) abort();
        first = r->sum;
    }
    return NULL;
}

static void write_some(ctree *tree, int writes) {
    uint8_t value[100];
    for (int i = 0; i < writes; i++) {
        uint64_t key = __builtin_bswap64(next_random() % KEYS);
        memset(value, (int)next_random(), sizeof value);
        if (next_random() % 4 == 0) ctree_delete(tree, &key, 8);
        else ctree_put(tree, &key, 8, value, 1 + next_random() % 99);
    }
}

int main(void) {
    ctree_store *store = ctree_store_create();
    ctree *tree = ctree_make(store, 1);
    write_some(tree, KEYS * 2);
    for (int round = 0; round < ROUNDS; round++) {
        reading here = {.view = ctree_current(tree)};
        add(&here);
        ctree_snapshot *snapshot = ctree_snapshot_open(store);
        reading there = {.view = ctree_snapshot_view(snapshot, 1)};
        pthread_t thread;
        if (pthread_create(&thread, NULL, read_many, &there) != 0) return 1;
        write_some(tree, KEYS);
        pthread_join(thread, NULL);
        ctree_snapshot_close(snapshot);
        if (here.sum != there.sum || here.count != there.count) {
            printf("FAILED: the second thread read something else\n");
            return 1;
        }
    }
    ctree_store_destroy(store);
    printf("%d snapshots were read while %d writes went on\n", ROUNDS, KEYS);
    return 0;
}
