#include "tree.h"

typedef struct check {
    uint64_t count, bytes;
    int leaf_depth;
    const record *previous;
    const char *problem;
} check;

static void check_keys(check *c, const node *n, const record *low, const record *high) {
    for (unsigned i = n->is_leaf ? 0 : 1; i < n->count; i++) {
        const record *r = n->records[i];
        if (r == NULL) c->problem = "an entry has no key";
        else if (r->key_length < n->prefix_length || memcmp(r->bytes, n->prefix, n->prefix_length) != 0)
            c->problem = "a key does not have its node's prefix";
        else if (n->words[i] != word_at(r->bytes, r->key_length, n->prefix_length))
            c->problem = "a cached word is not its key's";
        else if (low != NULL && record_compare(r, low->bytes, low->key_length, 0) < 0)
            c->problem = "a key is below its node's lower bound";
        else if (high != NULL && record_compare(r, high->bytes, high->key_length, 0) >= 0)
            c->problem = "a key is not below its node's upper bound";
        if (c->problem != NULL) return;
    }
}

static void check_node(check *c, const node *n, const record *low, const record *high, int depth) {
    if (n->count == 0 || n->count > NODE_ENTRIES) c->problem = "a node is empty or overfull";
    else if (depth >= DEPTH_MAX) c->problem = "the tree is too deep";
    if (c->problem == NULL) check_keys(c, n, low, high);
    if (c->problem != NULL) return;
    if (n->is_leaf) {
        if (c->leaf_depth < 0) c->leaf_depth = depth;
        if (c->leaf_depth != depth) c->problem = "leaves are at different depths";
        for (unsigned i = 0; i < n->count; i++) {
            const record *r = n->records[i];
            if (c->previous != NULL && record_compare(c->previous, r->bytes, r->key_length, 0) >= 0)
                c->problem = "keys are not in order";
            c->previous = r;
            c->count++;
            c->bytes += (uint64_t)r->key_length + r->value_length;
        }
        return;
    }
    for (unsigned i = 0; i < n->count && c->problem == NULL; i++) {
        const record *lower = i == 0 ? low : n->records[i];
        const record *upper = i + 1u < n->count ? n->records[i + 1] : high;
        check_node(c, n->children[i], lower, upper, depth + 1);
    }
}

const char *ctree_check(const ctree_view *view) {
    check c = {.leaf_depth = -1};
    if (view->root != NULL) check_node(&c, view->root, NULL, NULL, 0);
    if (c.problem == NULL && c.count != view->count) c.problem = "the count of entries is wrong";
    if (c.problem == NULL && c.bytes != view->bytes) c.problem = "the count of bytes is wrong";
    return c.problem;
}
