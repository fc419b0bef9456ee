// Ordered byte-key trees in memory: copy-on-write B+trees over one slab allocator.
//
// A store holds any number of trees, named by a number. Keys are ordered as unsigned bytes, a prefix first. Nodes
// carry no reference counts: each has the generation that it was written in, and a snapshot is the list of roots at
// one generation. A writer copies what the newest open snapshot can see, and what it replaces waits until no open
// snapshot sees it.
//
// Threads: everything is called from one thread, except that functions on a ctree_view of an open snapshot may be
// called from another at the same time (the snapshot is opened and closed on the first).
//
// Memory that cannot be had ends the process with a message.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CTREE_KEY_BYTES_MAX (16 * 1024 * 1024 + 64 * 1024)
#define CTREE_VALUE_BYTES_MAX (17 * 1024 * 1024)

typedef struct ctree_store ctree_store;
typedef struct ctree ctree;
typedef struct ctree_snapshot ctree_snapshot;
struct ctree_node;

// A state of one tree to read from: of the tree itself it is good until the next write, of a snapshot until it is
// closed.
typedef struct ctree_view {
    const struct ctree_node *root;
    uint64_t count;
    // Bytes of keys and values.
    uint64_t bytes;
} ctree_view;

// One entry, in place.
typedef struct ctree_row {
    const void *key;
    const void *value;
    uint32_t key_length;
    uint32_t value_length;
} ctree_row;

// Where a walk starts: at the end it comes from, at the key (or the next behind it), or behind the key.
typedef enum ctree_bound { CTREE_START = 0, CTREE_INCLUDING = 1, CTREE_BEHIND = 2 } ctree_bound;

ctree_store *ctree_store_create(void);
void ctree_store_destroy(ctree_store *store);

// The tree called `id`; NULL, or made now.
ctree *ctree_find(const ctree_store *store, uint32_t id);
ctree *ctree_make(ctree_store *store, uint32_t id);
// Forgets the tree called `id` and all its entries, at once for readers; memory comes back in small steps during later
// writes and ctree_store_collect. The handle is dead.
void ctree_drop(ctree_store *store, uint32_t id);
// Empties a tree that stays.
void ctree_clear(ctree *tree);

// Bytes that the store has taken from the system for nodes and entries.
size_t ctree_store_memory(const ctree_store *store);
// Frees up to `budget` objects that wait to be freed; true when none waits any more.
bool ctree_store_collect(ctree_store *store, size_t budget);

// Reading.
ctree_view ctree_current(const ctree *tree);
bool ctree_get(const ctree_view *view, const void *key, size_t key_length, ctree_row *row);
// Looks up `count` keys of one length, as good as any in the order of the tree. A row whose key is not there gets a NULL
// key. Returns how many were found.
size_t ctree_get_many(
    const ctree_view *view, const void *const *keys, size_t key_length, ctree_row *rows, size_t count);
// Fills `rows` with up to `limit` entries from the bound on, ascending or descending; returns how many.
size_t ctree_fill(
    const ctree_view *view, ctree_bound bound, const void *key, size_t key_length, bool backward, ctree_row *rows,
    size_t limit);

// Writing. Returns true when the key was there. `value` may point into the tree.
bool ctree_put(ctree *tree, const void *key, size_t key_length, const void *value, size_t value_length);
bool ctree_delete(ctree *tree, const void *key, size_t key_length);
// Inserts only when the key is not there; returns true when it inserted.
bool ctree_insert(ctree *tree, const void *key, size_t key_length, const void *value, size_t value_length);

// Batches as Core's WriteBatch lays them out. The first returns 0, or why the batch must not be applied
// (ctree_batch_error_text); the second applies a batch that passed.
int ctree_batch_check(const void *bytes, size_t length);
const char *ctree_batch_error_text(int error);
void ctree_batch_apply(ctree_store *store, const void *bytes, size_t length);

// Snapshots of all trees of the store.
ctree_snapshot *ctree_snapshot_open(ctree_store *store);
ctree_view ctree_snapshot_view(const ctree_snapshot *snapshot, uint32_t id);
void ctree_snapshot_close(ctree_snapshot *snapshot);
size_t ctree_snapshots_open(const ctree_store *store);

// Checks order, depths, prefixes, words and counts of a view; NULL, or what is wrong.
const char *ctree_check(const ctree_view *view);

#ifdef __cplusplus
}
#endif
