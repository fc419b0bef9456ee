// Sorted runs of table operations: what a storage engine keeps in files between its journal and the next start.
//
// Operations are laid out as Core's WriteBatch lays them out: `kind u8, table u32, key length u32, value length u32,
// key, value`, little-endian; 1 puts, 2 deletes, 3 drops a table. A run holds them in the order of table and key, at
// most one a key; a table's drop comes before its keys and means that older runs have nothing of the table to say.
//
// Nothing is trusted that a caller has not checked: every function is given whole operations (crun_check).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CRUN_HEADER_BYTES 13
#define CRUN_KEY_BYTES_MAX (16 * 1024 * 1024 + 64 * 1024)
#define CRUN_VALUE_BYTES_MAX (17 * 1024 * 1024)

// Whether the bytes are whole operations of known kinds and allowed lengths; with `sorted`, also in the order of a run.
bool crun_check(const void *operations, size_t length, bool sorted);

// Sorts operations, in the order in which they took effect, into a run: the last one of each key, and what a later drop
// has not made void. `out` has room for `length` bytes. Returns the bytes written; SIZE_MAX when memory cannot be had.
size_t crun_sort(const void *operations, size_t length, void *out);

// One of several runs that are merged, the oldest first: the operations that are in memory.
typedef struct crun_source {
    const uint8_t *at;
    const uint8_t *end;
    // Nothing follows what is in memory.
    bool is_last;
} crun_source;

typedef struct crun_merge {
    // The table that is being merged, and the newest source that drops it; -1 when none does.
    uint32_t table;
    bool has_table;
    int32_t drop;
} crun_merge;

typedef enum crun_status {
    // All sources are through.
    CRUN_DONE = 0,
    // The next operation does not fit; `needed` bytes would do.
    CRUN_FULL,
    // Source number `needed` has nothing more in memory, and something follows.
    CRUN_MORE,
} crun_status;

// Merges into `out` until one of these is so. Of one key the newest source has the word. `is_oldest`: no older run is
// left out, so that deletes and drops need not be kept.
crun_status crun_merge_some(
    crun_merge *state, crun_source *sources, size_t count, bool is_oldest, void *out, size_t capacity, size_t *written,
    size_t *needed);

#ifdef __cplusplus
}
#endif
