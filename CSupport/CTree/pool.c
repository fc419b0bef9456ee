#define _GNU_SOURCE
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct pool_chunk {
    char *base;
    // A bit for each free span.
    uint32_t free_spans;
    bool is_open;
    struct pool_chunk *open_previous, *open_next;
    struct pool_chunk *previous, *next;
};

struct pool_span {
    struct pool_span *previous, *next;
    struct pool_chunk *chunk;
    void *free_list;
    uint32_t class_index;
    uint32_t object_bytes;
    uint32_t used;
    // Objects from here on were never handed out: their pages are not touched before they are needed.
    uint32_t fresh_offset;
    bool is_partial;
};

struct pool_large {
    struct pool_large *previous, *next;
};

// Chunks beyond this one are asked for as huge pages: a large tree gains from it, an idle member would only pay.
#define HUGE_PAGES_FROM_CHUNK 16
#define SPAN_HEADER_BYTES 64

_Noreturn void ctree_out_of_memory(size_t size) {
    fprintf(stderr, "out of memory: %zu bytes for the storage tree\n", size);
    abort();
}

void *ctree_malloc(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) ctree_out_of_memory(size);
    return memory;
}

void *ctree_realloc(void *old, size_t size) {
    void *memory = realloc(old, size);
    if (memory == NULL) ctree_out_of_memory(size);
    return memory;
}

// Classes: 16 bytes apart up to 256, then four to each power of two.
static inline unsigned class_of(size_t size, size_t *rounded) {
    if (size <= 256) {
        unsigned index = size == 0 ? 0 : (unsigned)((size - 1) / 16);
        *rounded = ((size_t)index + 1) * 16;
        return index;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(size - 1);
    size_t step = (size_t)1 << (shift - 2);
    size_t quarter = (size - 1 - ((size_t)1 << shift)) / step;
    *rounded = ((size_t)1 << shift) + (quarter + 1) * step;
    return 16 + (shift - 8) * 4 + (unsigned)quarter;
}

void ctree_pool_init(ctree_pool *pool) { memset(pool, 0, sizeof *pool); }

void ctree_pool_destroy(ctree_pool *pool) {
    for (struct pool_chunk *chunk = pool->chunks; chunk != NULL;) {
        struct pool_chunk *next = chunk->next;
        munmap(chunk->base, POOL_CHUNK_BYTES);
        free(chunk);
        chunk = next;
    }
    for (struct pool_large *large = pool->larges; large != NULL;) {
        struct pool_large *next = large->next;
        free(large);
        large = next;
    }
    memset(pool, 0, sizeof *pool);
}

static void chunk_open(ctree_pool *pool, struct pool_chunk *chunk) {
    chunk->is_open = true;
    chunk->open_previous = NULL;
    chunk->open_next = pool->open_chunks;
    if (pool->open_chunks != NULL) pool->open_chunks->open_previous = chunk;
    pool->open_chunks = chunk;
}

static void chunk_shut(ctree_pool *pool, struct pool_chunk *chunk) {
    chunk->is_open = false;
    if (chunk->open_previous != NULL) chunk->open_previous->open_next = chunk->open_next;
    else pool->open_chunks = chunk->open_next;
    if (chunk->open_next != NULL) chunk->open_next->open_previous = chunk->open_previous;
}

static struct pool_chunk *chunk_create(ctree_pool *pool) {
    // Spans are found from their objects by masking the address, so chunks are aligned to their own size.
    char *wide = mmap(NULL, 2 * POOL_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (wide == MAP_FAILED) ctree_out_of_memory(POOL_CHUNK_BYTES);
    size_t skip = (size_t)(-(uintptr_t)wide & (POOL_CHUNK_BYTES - 1));
    if (skip > 0) munmap(wide, skip);
    munmap(wide + skip + POOL_CHUNK_BYTES, POOL_CHUNK_BYTES - skip);
    struct pool_chunk *chunk = ctree_malloc(sizeof *chunk);
    chunk->base = wide + skip;
    madvise(
        chunk->base, POOL_CHUNK_BYTES, pool->chunk_count < HUGE_PAGES_FROM_CHUNK ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    chunk->free_spans = UINT32_MAX;
    chunk->previous = NULL;
    chunk->next = pool->chunks;
    if (pool->chunks != NULL) pool->chunks->previous = chunk;
    pool->chunks = chunk;
    pool->chunk_count++;
    pool->memory += POOL_CHUNK_BYTES;
    chunk_open(pool, chunk);
    return chunk;
}

static void chunk_destroy(ctree_pool *pool, struct pool_chunk *chunk) {
    if (chunk->is_open) chunk_shut(pool, chunk);
    if (chunk->previous != NULL) chunk->previous->next = chunk->next;
    else pool->chunks = chunk->next;
    if (chunk->next != NULL) chunk->next->previous = chunk->previous;
    munmap(chunk->base, POOL_CHUNK_BYTES);
    free(chunk);
    pool->chunk_count--;
    pool->memory -= POOL_CHUNK_BYTES;
}

static void span_link(ctree_pool *pool, struct pool_span *span) {
    span->is_partial = true;
    span->previous = NULL;
    span->next = pool->partial[span->class_index];
    if (span->next != NULL) span->next->previous = span;
    pool->partial[span->class_index] = span;
}

static void span_unlink(ctree_pool *pool, struct pool_span *span) {
    span->is_partial = false;
    if (span->previous != NULL) span->previous->next = span->next;
    else pool->partial[span->class_index] = span->next;
    if (span->next != NULL) span->next->previous = span->previous;
}

static struct pool_span *span_create(ctree_pool *pool, unsigned class_index, size_t object_bytes) {
    struct pool_chunk *chunk = pool->open_chunks;
    if (chunk == NULL) chunk = chunk_create(pool);
    unsigned index = (unsigned)__builtin_ctz(chunk->free_spans);
    chunk->free_spans &= ~(1u << index);
    if (chunk->free_spans == 0) chunk_shut(pool, chunk);
    struct pool_span *span = (struct pool_span *)(chunk->base + (size_t)index * POOL_SPAN_BYTES);
    span->chunk = chunk;
    span->free_list = NULL;
    span->class_index = class_index;
    span->object_bytes = (uint32_t)object_bytes;
    span->used = 0;
    span->fresh_offset = SPAN_HEADER_BYTES;
    span_link(pool, span);
    return span;
}

static void span_destroy(ctree_pool *pool, struct pool_span *span) {
    if (span->is_partial) span_unlink(pool, span);
    struct pool_chunk *chunk = span->chunk;
    size_t index = (size_t)((char *)span - chunk->base) / POOL_SPAN_BYTES;
    chunk->free_spans |= 1u << index;
    if (!chunk->is_open) chunk_open(pool, chunk);
    // One empty chunk is kept, so that a tree that grows and shrinks by one node does not map and unmap.
    bool others_open = chunk->open_previous != NULL || chunk->open_next != NULL;
    if (chunk->free_spans == UINT32_MAX && others_open) chunk_destroy(pool, chunk);
}

static void *large_allocate(ctree_pool *pool, size_t size) {
    struct pool_large *large = ctree_malloc(sizeof *large + size);
    large->previous = NULL;
    large->next = pool->larges;
    if (pool->larges != NULL) pool->larges->previous = large;
    pool->larges = large;
    pool->memory += size;
    return large + 1;
}

static void large_free(ctree_pool *pool, void *object, size_t size) {
    struct pool_large *large = (struct pool_large *)object - 1;
    if (large->previous != NULL) large->previous->next = large->next;
    else pool->larges = large->next;
    if (large->next != NULL) large->next->previous = large->previous;
    pool->memory -= size;
    free(large);
}

// With CTREE_PLAIN_MALLOC every object is an allocation of its own, so that a sanitizer sees each use after free.
#ifdef CTREE_PLAIN_MALLOC
#define IS_SMALL(size) false
#else
#define IS_SMALL(size) ((size) <= POOL_SMALL_MAX)
#endif

void *ctree_pool_allocate(ctree_pool *pool, size_t size) {
    if (!IS_SMALL(size)) return large_allocate(pool, size);
    size_t rounded;
    unsigned index = class_of(size, &rounded);
    struct pool_span *span = pool->partial[index];
    if (__builtin_expect(span == NULL, 0)) span = span_create(pool, index, rounded);
    void *object = span->free_list;
    if (object != NULL) {
        span->free_list = *(void **)object;
    } else {
        object = (char *)span + span->fresh_offset;
        span->fresh_offset += span->object_bytes;
    }
    span->used++;
    if (span->free_list == NULL && span->fresh_offset + span->object_bytes > POOL_SPAN_BYTES) span_unlink(pool, span);
    return object;
}

void ctree_pool_free(ctree_pool *pool, void *object, size_t size) {
    if (!IS_SMALL(size)) {
        large_free(pool, object, size);
        return;
    }
    struct pool_span *span = (struct pool_span *)((uintptr_t)object & ~(uintptr_t)(POOL_SPAN_BYTES - 1));
    *(void **)object = span->free_list;
    span->free_list = object;
    span->used--;
    if (span->used == 0) span_destroy(pool, span);
    else if (!span->is_partial) span_link(pool, span);
}

bool ctree_pool_same_class(size_t a, size_t b) {
    if (!IS_SMALL(a) || !IS_SMALL(b)) return a == b;
    size_t rounded_a, rounded_b;
    return class_of(a, &rounded_a) == class_of(b, &rounded_b);
}
