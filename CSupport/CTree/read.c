#include "tree.h"

ctree_view ctree_current(const ctree *tree) {
    return (ctree_view){.root = tree->root, .count = tree->count, .bytes = tree->bytes};
}

static inline void row_set(ctree_row *row, const record *r) {
    row->key = r->bytes;
    row->value = r->bytes + r->key_length;
    row->key_length = r->key_length;
    row->value_length = r->value_length;
}

bool ctree_get(const ctree_view *view, const void *key, size_t key_length, ctree_row *row) {
    const node *n = view->root;
    if (n == NULL) return false;
    while (!n->is_leaf) {
        n = n->children[inner_position(n, key, key_length)];
        node_prefetch(n);
    }
    bool found;
    unsigned at = node_search(n, 0, key, key_length, &found);
    if (!found) return false;
    row_set(row, n->records[at]);
    return true;
}

// Where `key` is in a leaf, or LEAF_ENTRY_ABSENT; LEAF_ENTRY_ELSEWHERE when it may be in another leaf.
#define LEAF_ENTRY_ABSENT (-1)
#define LEAF_ENTRY_ELSEWHERE (-2)
static int leaf_entry(const node *leaf, const uint8_t *key, size_t key_length) {
    bool found;
    unsigned at = node_search(leaf, 0, key, key_length, &found);
    if (found) return (int)at;
    return at == 0 || at == leaf->count ? LEAF_ENTRY_ELSEWHERE : LEAF_ENTRY_ABSENT;
}

size_t ctree_get_many(
    const ctree_view *view, const void *const *keys, size_t key_length, ctree_row *rows, size_t count) {
    size_t found = 0;
    const node *leaf = NULL;
    for (size_t i = 0; i < count; i++) {
        // Records that follow one another in an index were often written one after the other: the leaf of the last key
        // is tried before the tree is descended.
        int at = leaf == NULL ? LEAF_ENTRY_ELSEWHERE : leaf_entry(leaf, keys[i], key_length);
        if (at == LEAF_ENTRY_ELSEWHERE && view->root != NULL) {
            const node *n = view->root;
            while (!n->is_leaf) {
                n = n->children[inner_position(n, keys[i], key_length)];
                node_prefetch(n);
            }
            leaf = n;
            at = leaf_entry(leaf, keys[i], key_length);
        }
        if (at >= 0) {
            row_set(&rows[i], leaf->records[at]);
            __builtin_prefetch(rows[i].value);
            found++;
        } else {
            rows[i] = (ctree_row){0};
        }
    }
    return found;
}

// The way from the root to a leaf entry.
typedef struct path {
    const node *nodes[DEPTH_MAX];
    unsigned positions[DEPTH_MAX];
    int depth;
} path;

static void descend_to_edge(path *p, const node *n, bool last) {
    for (;;) {
        unsigned at = last ? n->count - 1u : 0;
        p->nodes[p->depth] = n;
        p->positions[p->depth] = at;
        if (n->is_leaf) return;
        p->depth++;
        n = n->children[at];
    }
}

// Moves to the leaf before or behind; false at the end of the tree.
static bool next_leaf(path *p, bool backward) {
    while (p->depth > 0) {
        p->depth--;
        const node *parent = p->nodes[p->depth];
        unsigned at = p->positions[p->depth];
        if (backward ? at == 0 : at + 1u >= parent->count) continue;
        p->positions[p->depth] = backward ? at - 1 : at + 1;
        const node *child = parent->children[p->positions[p->depth]];
        p->depth++;
        descend_to_edge(p, child, backward);
        return true;
    }
    return false;
}

// Positions at the first entry of the walk in the leaf where the key belongs. The position may lie outside of the
// leaf by one, when the walk starts in the next.
static int seek(path *p, const node *n, ctree_bound bound, const uint8_t *key, size_t key_length, bool backward) {
    p->depth = 0;
    if (bound == CTREE_START) {
        descend_to_edge(p, n, backward);
        return (int)p->positions[p->depth];
    }
    while (!n->is_leaf) {
        unsigned at = inner_position(n, key, key_length);
        p->nodes[p->depth] = n;
        p->positions[p->depth] = at;
        p->depth++;
        n = n->children[at];
        node_prefetch(n);
    }
    p->nodes[p->depth] = n;
    bool found;
    int at = (int)node_search(n, 0, key, key_length, &found);
    if (found && bound == CTREE_INCLUDING) return at;
    if (backward) return at - 1;
    return found ? at + 1 : at;
}

size_t ctree_fill(
    const ctree_view *view, ctree_bound bound, const void *key, size_t key_length, bool backward, ctree_row *rows,
    size_t limit) {
    if (view->root == NULL || limit == 0) return 0;
    path p;
    int at = seek(&p, view->root, bound, key, key_length, backward);
    size_t filled = 0;
    for (;;) {
        const node *leaf = p.nodes[p.depth];
        if (backward) {
            for (; at >= 0 && filled < limit; at--) row_set(&rows[filled++], leaf->records[at]);
        } else {
            for (; at < leaf->count && filled < limit; at++) {
                if (at + 4 < leaf->count) __builtin_prefetch(leaf->records[at + 4]);
                row_set(&rows[filled++], leaf->records[at]);
            }
        }
        if (filled == limit || !next_leaf(&p, backward)) return filled;
        at = (int)p.positions[p.depth];
    }
}
