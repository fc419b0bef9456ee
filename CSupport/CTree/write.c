#include "tree.h"

// A node with fewer entries than this looks for a neighbour to merge with; together they stay below the second bound,
// so that the next insert does not split them again.
#define MERGE_BELOW (NODE_ENTRIES / 4)
#define MERGE_SUM_MAX (NODE_ENTRIES * 3 / 4)

// The nodes from the root to a leaf, all writable, and which child was taken in each.
typedef struct write_path {
    node *nodes[DEPTH_MAX];
    unsigned positions[DEPTH_MAX];
    int depth;
} write_path;

static inline size_t node_bytes(const node *n) { return n->is_leaf ? LEAF_BYTES : INNER_BYTES; }

// The first entry of a node that has a key.
static inline unsigned first_key(const node *n) { return n->is_leaf ? 0 : 1; }

static node *node_create(ctree_store *store, bool is_leaf) {
    node *n = ctree_pool_allocate(&store->pool, is_leaf ? LEAF_BYTES : INNER_BYTES);
    n->generation = store->generation;
    n->count = 0;
    n->is_leaf = is_leaf;
    n->prefix_length = 0;
    return n;
}

static void node_release(ctree_store *store, node *n) { ctree_release(store, n, n->generation, node_bytes(n)); }

static void record_release(ctree_store *store, record *r) {
    if (r != NULL) ctree_release(store, r, r->generation, record_bytes(r->key_length, r->value_length));
}

static record *record_create(
    ctree_store *store, const void *key, size_t key_length, const void *value, size_t value_length) {
    record *r = ctree_pool_allocate(&store->pool, record_bytes(key_length, value_length));
    r->generation = store->generation;
    r->key_length = (uint32_t)key_length;
    r->value_length = (uint32_t)value_length;
    if (key_length > 0) memcpy(r->bytes, key, key_length);
    if (value_length > 0) memcpy(r->bytes + key_length, value, value_length);
    return r;
}

// The node itself when no snapshot sees it, else a copy that takes its place.
static inline node *node_own(ctree_store *store, node *n) {
    if (n->generation > store->shared_generation) return n;
    node *copy = ctree_pool_allocate(&store->pool, node_bytes(n));
    memcpy(copy, n, node_bytes(n));
    copy->generation = store->generation;
    node_release(store, n);
    return copy;
}

static void descend(ctree *tree, const uint8_t *key, size_t key_length, write_path *p) {
    node *n = tree->root = node_own(tree->store, tree->root);
    p->depth = 0;
    p->nodes[0] = n;
    while (!n->is_leaf) {
        unsigned at = inner_position(n, key, key_length);
        node_prefetch(n->children[at]);
        p->positions[p->depth] = at;
        n = n->children[at] = node_own(tree->store, n->children[at]);
        p->nodes[++p->depth] = n;
    }
}

static size_t common_length(const uint8_t *a, const uint8_t *b, size_t limit) {
    size_t length = 0;
    while (length < limit && a[length] == b[length]) length++;
    return length;
}

static void words_fill(node *n) {
    for (unsigned i = first_key(n); i < n->count; i++)
        n->words[i] = word_at(n->records[i]->bytes, n->records[i]->key_length, n->prefix_length);
}

// Gives a node the longest prefix that its keys share: that of the first and the last. `moved` tells that the words
// do not belong to the present prefix.
static void node_retune(node *n, bool moved) {
    unsigned first = first_key(n);
    size_t length = 0;
    if (n->count > first) {
        const record *low = n->records[first], *high = n->records[n->count - 1];
        size_t limit = low->key_length < high->key_length ? low->key_length : high->key_length;
        length = common_length(low->bytes, high->bytes, limit < PREFIX_MAX ? limit : PREFIX_MAX);
        memcpy(n->prefix, low->bytes, length);
    }
    bool changed = length != n->prefix_length;
    n->prefix_length = (uint8_t)length;
    if (changed || moved) words_fill(n);
}

// Inserts an entry into a node that has room. `child` is NULL in a leaf.
static void node_insert(node *n, unsigned at, record *r, node *child) {
    unsigned first = first_key(n);
    if (n->count <= first) {
        size_t length = r->key_length < PREFIX_MAX ? r->key_length : PREFIX_MAX;
        memcpy(n->prefix, r->bytes, length);
        n->prefix_length = (uint8_t)length;
    } else {
        size_t limit = r->key_length < n->prefix_length ? r->key_length : n->prefix_length;
        size_t common = common_length(n->prefix, r->bytes, limit);
        if (common < n->prefix_length) {
            n->prefix_length = (uint8_t)common;
            words_fill(n);
        }
    }
    size_t behind = n->count - at;
    memmove(n->words + at + 1, n->words + at, behind * sizeof *n->words);
    memmove(n->records + at + 1, n->records + at, behind * sizeof *n->records);
    n->words[at] = word_at(r->bytes, r->key_length, n->prefix_length);
    n->records[at] = r;
    if (child != NULL) {
        memmove(n->children + at + 1, n->children + at, behind * sizeof *n->children);
        n->children[at] = child;
    }
    n->count++;
}

// Takes an entry out; the caller owns its record and child.
static void node_remove(node *n, unsigned at) {
    size_t behind = n->count - at - 1u;
    memmove(n->words + at, n->words + at + 1, behind * sizeof *n->words);
    memmove(n->records + at, n->records + at + 1, behind * sizeof *n->records);
    if (!n->is_leaf) memmove(n->children + at, n->children + at + 1, behind * sizeof *n->children);
    n->count--;
}

// Moves the entries from `at` on to a new node.
static node *node_split(ctree_store *store, node *n, unsigned at) {
    node *right = node_create(store, n->is_leaf);
    size_t moved = n->count - at;
    memcpy(right->words, n->words + at, moved * sizeof *n->words);
    memcpy(right->records, n->records + at, moved * sizeof *n->records);
    if (!n->is_leaf) memcpy(right->children, n->children + at, moved * sizeof *n->children);
    memcpy(right->prefix, n->prefix, n->prefix_length);
    right->prefix_length = n->prefix_length;
    right->count = (uint16_t)moved;
    n->count = (uint16_t)at;
    return right;
}

// The shortest key above `low` and not above `high`.
static record *separator_create(ctree_store *store, const record *low, const record *high) {
    size_t limit = low->key_length < high->key_length ? low->key_length : high->key_length;
    size_t common = common_length(low->bytes, high->bytes, limit);
    return record_create(store, high->bytes, common + 1, NULL, 0);
}

// Hangs `right`, split off the node at the end of the path, into the parents.
static void insert_upwards(ctree *tree, write_path *p, record *separator, node *right) {
    ctree_store *store = tree->store;
    for (int depth = p->depth - 1; depth >= 0; depth--) {
        node *parent = p->nodes[depth];
        unsigned at = p->positions[depth] + 1;
        if (parent->count < NODE_ENTRIES) {
            node_insert(parent, at, separator, right);
            return;
        }
        // A node that grows at its end is left full: keys often come in order.
        unsigned middle = at == NODE_ENTRIES ? NODE_ENTRIES - 1 : NODE_ENTRIES / 2;
        node *upper = node_split(store, parent, middle);
        record *promoted = upper->records[0];
        upper->records[0] = NULL;
        node_retune(parent, false);
        node_retune(upper, false);
        if (at <= middle) node_insert(parent, at, separator, right);
        else node_insert(upper, at - middle, separator, right);
        separator = promoted;
        right = upper;
    }
    node *root = node_create(store, false);
    root->children[0] = tree->root;
    root->records[0] = NULL;
    root->words[0] = 0;
    root->count = 1;
    node_insert(root, 1, separator, right);
    tree->root = root;
}

static void leaf_insert(ctree *tree, write_path *p, unsigned at, record *r) {
    node *leaf = p->nodes[p->depth];
    if (leaf->count < NODE_ENTRIES) {
        node_insert(leaf, at, r, NULL);
        return;
    }
    node *right;
    if (at == NODE_ENTRIES) {
        right = node_create(tree->store, true);
        node_insert(right, 0, r, NULL);
    } else {
        right = node_split(tree->store, leaf, NODE_ENTRIES / 2);
        node_retune(leaf, false);
        node_retune(right, false);
        if (at <= NODE_ENTRIES / 2) node_insert(leaf, at, r, NULL);
        else node_insert(right, at - NODE_ENTRIES / 2, r, NULL);
    }
    record *separator = separator_create(tree->store, leaf->records[leaf->count - 1], right->records[0]);
    insert_upwards(tree, p, separator, right);
}

static inline void collect_some(ctree_store *store) {
    if (store->garbage != NULL || store->closed_count > 0) ctree_store_collect(store, 16);
}

typedef enum write_mode { WRITE_PUT, WRITE_INSERT } write_mode;

static bool write_entry(
    ctree *tree, const void *key, size_t key_length, const void *value, size_t value_length, write_mode mode) {
    ctree_store *store = tree->store;
    if (tree->root == NULL) tree->root = node_create(store, true);
    write_path p;
    descend(tree, key, key_length, &p);
    node *leaf = p.nodes[p.depth];
    bool found;
    unsigned at = node_search(leaf, 0, key, key_length, &found);
    if (found && mode == WRITE_INSERT) return true;
    if (!found) {
        leaf_insert(tree, &p, at, record_create(store, key, key_length, value, value_length));
        tree->count++;
        tree->bytes += key_length + value_length;
    } else {
        record *old = leaf->records[at];
        tree->bytes += value_length - (uint64_t)old->value_length;
        size_t old_bytes = record_bytes(key_length, old->value_length);
        bool fits = ctree_pool_same_class(old_bytes, record_bytes(key_length, value_length));
        if (fits && old->generation > store->shared_generation) {
            // The value may be a part of this very entry.
            if (value_length > 0) memmove(old->bytes + key_length, value, value_length);
            old->value_length = (uint32_t)value_length;
        } else {
            leaf->records[at] = record_create(store, key, key_length, value, value_length);
            record_release(store, old);
        }
    }
    collect_some(store);
    return found;
}

bool ctree_put(ctree *tree, const void *key, size_t key_length, const void *value, size_t value_length) {
    return write_entry(tree, key, key_length, value, value_length, WRITE_PUT);
}

bool ctree_insert(ctree *tree, const void *key, size_t key_length, const void *value, size_t value_length) {
    return !write_entry(tree, key, key_length, value, value_length, WRITE_INSERT);
}

// Appends the entries of child `at + 1` to child `at`, where there is room for them.
static void merge_children(ctree_store *store, node *parent, unsigned at) {
    node *left = parent->children[at] = node_own(store, parent->children[at]);
    node *right = parent->children[at + 1];
    record *separator = parent->records[at + 1];
    memcpy(left->records + left->count, right->records, right->count * sizeof *right->records);
    if (left->is_leaf) {
        record_release(store, separator);
    } else {
        memcpy(left->children + left->count, right->children, right->count * sizeof *right->children);
        left->records[left->count] = separator;
    }
    left->count += right->count;
    node_retune(left, true);
    node_release(store, right);
    node_remove(parent, at + 1);
}

static bool may_merge(const node *parent, unsigned at) {
    return parent->children[at]->count + parent->children[at + 1]->count <= MERGE_SUM_MAX;
}

// Takes an empty child out of its parent.
static void remove_child(ctree_store *store, node *parent, unsigned at) {
    node_release(store, parent->children[at]);
    record_release(store, parent->records[at]);
    node_remove(parent, at);
    // What is first now has no lower bound of its own any more.
    if (at == 0 && parent->count > 0) {
        record_release(store, parent->records[0]);
        parent->records[0] = NULL;
    }
}

static void shrink_upwards(ctree *tree, write_path *p) {
    ctree_store *store = tree->store;
    for (int depth = p->depth; depth > 0; depth--) {
        node *n = p->nodes[depth], *parent = p->nodes[depth - 1];
        unsigned at = p->positions[depth - 1];
        if (n->count == 0) remove_child(store, parent, at);
        else if (n->count >= MERGE_BELOW) break;
        else if (at > 0 && may_merge(parent, at - 1)) merge_children(store, parent, at - 1);
        else if (at + 1u < parent->count && may_merge(parent, at)) merge_children(store, parent, at);
        else break;
    }
    while (tree->root != NULL && !tree->root->is_leaf && tree->root->count <= 1) {
        node *root = tree->root;
        tree->root = root->count == 1 ? root->children[0] : NULL;
        node_release(store, root);
    }
    if (tree->root != NULL && tree->root->count == 0) {
        node_release(store, tree->root);
        tree->root = NULL;
    }
}

bool ctree_delete(ctree *tree, const void *key, size_t key_length) {
    ctree_view view = ctree_current(tree);
    ctree_row row;
    // Without the key nothing may be copied.
    if (!ctree_get(&view, key, key_length, &row)) return false;
    write_path p;
    descend(tree, key, key_length, &p);
    node *leaf = p.nodes[p.depth];
    bool found;
    unsigned at = node_search(leaf, 0, key, key_length, &found);
    record *old = leaf->records[at];
    tree->count--;
    tree->bytes -= (uint64_t)old->key_length + old->value_length;
    node_remove(leaf, at);
    if (leaf->count < MERGE_BELOW) shrink_upwards(tree, &p);
    // Last: `key` may be this entry's own.
    record_release(tree->store, old);
    collect_some(tree->store);
    return true;
}
