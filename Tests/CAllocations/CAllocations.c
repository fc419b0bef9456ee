#include "CAllocations.h"

#include <features.h>
#include <stddef.h>

// Takes the place of glibc's functions in the program that this is linked into, and counts on the way to them. What is
// given back goes to glibc's own `free`.
static __thread uint64_t count __attribute__((tls_model("initial-exec")));

uint64_t callocations_count(void) { return count; }

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t number, size_t size);
void *__libc_realloc(void *bytes, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
    count++;
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count++;
    return __libc_calloc(number, size);
}

void *realloc(void *bytes, size_t size) {
    count++;
    return __libc_realloc(bytes, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count++;
    return __libc_memalign(alignment, size);
}

#endif
