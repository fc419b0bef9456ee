#include "tree.h"

#include <stdlib.h>

// The table map: ids to trees, by open addressing.

static inline size_t map_slot(const table_map *map, uint32_t id) {
    size_t mask = map->capacity - 1;
    size_t at = (id * 0x9E3779B1u) & mask;
    while (map->ids[at] != id && map->ids[at] != 0) at = (at + 1) & mask;
    return at;
}

static void map_reserve(table_map *map, size_t capacity) {
    table_map larger = {
        .ids = ctree_malloc(capacity * sizeof *larger.ids),
        .values = ctree_malloc(capacity * sizeof *larger.values),
        .capacity = capacity,
        .count = map->count,
    };
    memset(larger.ids, 0, capacity * sizeof *larger.ids);
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->ids[i] == 0) continue;
        size_t at = map_slot(&larger, map->ids[i]);
        larger.ids[at] = map->ids[i];
        larger.values[at] = map->values[i];
    }
    free(map->ids);
    free(map->values);
    *map = larger;
}

static void map_remove(table_map *map, size_t hole) {
    size_t mask = map->capacity - 1;
    map->count--;
    for (size_t at = (hole + 1) & mask; map->ids[at] != 0; at = (at + 1) & mask) {
        size_t home = (map->ids[at] * 0x9E3779B1u) & mask;
        // An entry may fill the hole when its home is not between the hole and itself.
        if (((at - home) & mask) < ((at - hole) & mask)) continue;
        map->ids[hole] = map->ids[at];
        map->values[hole] = map->values[at];
        hole = at;
    }
    map->ids[hole] = 0;
}

ctree *ctree_find(const ctree_store *store, uint32_t id) {
    size_t at = map_slot(&store->tables, id);
    return store->tables.ids[at] == id && id != 0 ? store->tables.values[at] : NULL;
}

ctree *ctree_make(ctree_store *store, uint32_t id) {
    ctree *tree = ctree_find(store, id);
    if (tree != NULL || id == 0) return tree;
    if ((store->tables.count + 1) * 2 > store->tables.capacity) map_reserve(&store->tables, store->tables.capacity * 2);
    tree = ctree_malloc(sizeof *tree);
    *tree = (ctree){.store = store, .id = id};
    size_t at = map_slot(&store->tables, id);
    store->tables.ids[at] = id;
    store->tables.values[at] = tree;
    store->tables.count++;
    return tree;
}

ctree_store *ctree_store_create(void) {
    ctree_store *store = ctree_malloc(sizeof *store);
    *store = (ctree_store){.generation = 1};
    ctree_pool_init(&store->pool);
    map_reserve(&store->tables, 64);
    return store;
}

void ctree_store_destroy(ctree_store *store) {
    for (size_t i = 0; i < store->tables.capacity; i++)
        if (store->tables.ids[i] != 0) free(store->tables.values[i]);
    free(store->tables.ids);
    free(store->tables.values);
    for (ctree_garbage *garbage = store->garbage; garbage != NULL;) {
        ctree_garbage *next = garbage->next;
        free(garbage);
        garbage = next;
    }
    for (ctree_snapshot *snapshot = store->newest; snapshot != NULL;) {
        ctree_snapshot *older = snapshot->older;
        free(snapshot->ids);
        free(snapshot->views);
        free(snapshot->waiting);
        free(snapshot);
        snapshot = older;
    }
    ctree_pool_destroy(&store->pool);
    free(store);
}

size_t ctree_store_memory(const ctree_store *store) { return store->pool.memory; }

// Snapshots.

ctree_snapshot *ctree_snapshot_open(ctree_store *store) {
    ctree_snapshot *snapshot = ctree_malloc(sizeof *snapshot);
    size_t capacity = store->tables.capacity;
    *snapshot = (ctree_snapshot){
        .store = store,
        .generation = store->generation,
        .older = store->newest,
        .ids = ctree_malloc(capacity * sizeof *snapshot->ids),
        .views = ctree_malloc(capacity * sizeof *snapshot->views),
        .capacity = capacity,
    };
    memcpy(snapshot->ids, store->tables.ids, capacity * sizeof *snapshot->ids);
    for (size_t i = 0; i < capacity; i++)
        if (snapshot->ids[i] != 0) snapshot->views[i] = ctree_current(store->tables.values[i]);
    if (store->newest != NULL) store->newest->newer = snapshot;
    store->newest = snapshot;
    store->shared_generation = store->generation++;
    store->open_count++;
    return snapshot;
}

ctree_view ctree_snapshot_view(const ctree_snapshot *snapshot, uint32_t id) {
    const table_map map = {.ids = snapshot->ids, .capacity = snapshot->capacity};
    size_t at = map_slot(&map, id);
    return snapshot->ids[at] == id && id != 0 ? snapshot->views[at] : (ctree_view){0};
}

size_t ctree_snapshots_open(const ctree_store *store) { return store->open_count; }

void ctree_snapshot_close(ctree_snapshot *snapshot) {
    ctree_store *store = snapshot->store;
    snapshot->is_closed = true;
    store->open_count--;
    store->closed_count++;
    const ctree_snapshot *open = store->newest;
    while (open != NULL && open->is_closed) open = open->older;
    store->shared_generation = open != NULL ? open->generation : 0;
    // Most snapshots have nothing waiting: forget them at once.
    ctree_store_collect(store, 16);
}

// Freeing.

static void snapshot_defer(ctree_snapshot *snapshot, deferred entry) {
    if (snapshot->waiting_count == snapshot->waiting_capacity) {
        snapshot->waiting_capacity = snapshot->waiting_capacity == 0 ? 64 : snapshot->waiting_capacity * 2;
        snapshot->waiting = ctree_realloc(snapshot->waiting, snapshot->waiting_capacity * sizeof *snapshot->waiting);
    }
    snapshot->waiting[snapshot->waiting_count++] = entry;
}

static void release_from(ctree_store *store, ctree_snapshot *newest, deferred entry) {
    while (newest != NULL && newest->is_closed) newest = newest->older;
    if (newest != NULL && newest->generation >= entry.generation) snapshot_defer(newest, entry);
    else ctree_pool_free(&store->pool, entry.object, entry.size);
}

// Frees what a writer has replaced, or lets it wait for the snapshots that see it.
void ctree_release(ctree_store *store, void *object, uint64_t generation, size_t size) {
    if (generation > store->shared_generation) ctree_pool_free(&store->pool, object, size);
    else release_from(store, store->newest, (deferred){.object = object, .generation = generation, .size = size});
}

static void snapshot_forget(ctree_snapshot *snapshot) {
    ctree_store *store = snapshot->store;
    if (snapshot->newer != NULL) snapshot->newer->older = snapshot->older;
    else store->newest = snapshot->older;
    if (snapshot->older != NULL) snapshot->older->newer = snapshot->newer;
    free(snapshot->ids);
    free(snapshot->views);
    free(snapshot->waiting);
    free(snapshot);
    store->closed_count--;
}

static size_t collect_snapshots(ctree_store *store, size_t budget) {
    ctree_snapshot *snapshot = store->newest;
    while (snapshot != NULL && budget > 0 && store->closed_count > 0) {
        ctree_snapshot *older = snapshot->older;
        if (snapshot->is_closed) {
            for (; snapshot->waiting_count > 0 && budget > 0; budget--)
                release_from(store, older, snapshot->waiting[--snapshot->waiting_count]);
            if (snapshot->waiting_count == 0) snapshot_forget(snapshot);
        }
        snapshot = older;
    }
    return budget;
}

static void record_discard(ctree_store *store, record *r) {
    ctree_release(store, r, r->generation, record_bytes(r->key_length, r->value_length));
}

// Frees a dropped tree's entries one by one, a node behind its children; false when the budget ran out.
static bool collect_garbage(ctree_store *store, ctree_garbage *garbage, size_t *budget) {
    while (*budget > 0) {
        node *n = garbage->path[garbage->depth];
        unsigned at = garbage->position[garbage->depth];
        --*budget;
        if (at < n->count) {
            garbage->position[garbage->depth]++;
            if (n->records[at] != NULL) record_discard(store, n->records[at]);
            if (n->is_leaf) continue;
            garbage->path[++garbage->depth] = n->children[at];
            garbage->position[garbage->depth] = 0;
        } else {
            ctree_release(store, n, n->generation, n->is_leaf ? LEAF_BYTES : INNER_BYTES);
            if (garbage->depth-- == 0) return true;
        }
    }
    return false;
}

bool ctree_store_collect(ctree_store *store, size_t budget) {
    if (store->closed_count > 0) budget = collect_snapshots(store, budget);
    while (store->garbage != NULL && budget > 0) {
        ctree_garbage *garbage = store->garbage;
        if (!collect_garbage(store, garbage, &budget)) break;
        store->garbage = garbage->next;
        free(garbage);
    }
    return store->garbage == NULL && store->closed_count == 0;
}

void ctree_discard(ctree_store *store, node *root) {
    if (root == NULL) return;
    ctree_garbage garbage = {.path = {root}};
    size_t budget = NODE_ENTRIES * 2;
    if (root->is_leaf && collect_garbage(store, &garbage, &budget)) return;
    ctree_garbage *later = ctree_malloc(sizeof *later);
    *later = garbage;
    later->next = store->garbage;
    store->garbage = later;
}

void ctree_clear(ctree *tree) {
    ctree_discard(tree->store, tree->root);
    tree->root = NULL;
    tree->count = 0;
    tree->bytes = 0;
}

void ctree_drop(ctree_store *store, uint32_t id) {
    ctree *tree = ctree_find(store, id);
    if (tree == NULL) return;
    ctree_clear(tree);
    map_remove(&store->tables, map_slot(&store->tables, id));
    free(tree);
}
