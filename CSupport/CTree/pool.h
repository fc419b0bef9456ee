// The slab allocator of a store: spans of 64 KiB hold objects of one size class and go back when they are empty, so
// that memory moves between classes; larger objects come from malloc. Not for use from two threads.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_SPAN_BYTES (64 * 1024)
#define POOL_CHUNK_SPANS 32
#define POOL_CHUNK_BYTES (POOL_SPAN_BYTES * POOL_CHUNK_SPANS)
#define POOL_SMALL_MAX 8192
#define POOL_CLASSES 40

struct pool_span;
struct pool_chunk;
struct pool_large;

typedef struct ctree_pool {
    // By class: spans that have room. The first is allocated from.
    struct pool_span *partial[POOL_CLASSES];
    // Chunks that have free spans, and all of them.
    struct pool_chunk *open_chunks;
    struct pool_chunk *chunks;
    size_t chunk_count;
    struct pool_large *larges;
    size_t memory;
} ctree_pool;

void ctree_pool_init(ctree_pool *pool);
void ctree_pool_destroy(ctree_pool *pool);
void *ctree_pool_allocate(ctree_pool *pool, size_t size);
// `size` is what the object was allocated with.
void ctree_pool_free(ctree_pool *pool, void *object, size_t size);
// Whether an object allocated with one size has room for the other and is freed the same way.
bool ctree_pool_same_class(size_t a, size_t b);
_Noreturn void ctree_out_of_memory(size_t size);
// malloc and realloc that end the process instead of failing.
void *ctree_malloc(size_t size);
void *ctree_realloc(void *old, size_t size);
