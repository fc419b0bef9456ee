// Tables over RocksDB, for an event loop that must never wait: what a storage engine needs of it, and no more.
//
// The library is used through its C++ interface, not through its C one: the latter gives errors as text only, and what is
// not in memory, what is damaged and what does not fit on the disk have to be told apart.
//
// Whatever is called "loop" below is called by one thread, and reads no disk: it sees the batches that were not written
// yet (generations, in memory) over what RocksDB has in its write buffers and its block cache. Whatever is called "job"
// is run on another thread, between its begin and its end on the loop.
//
// All tables are in one key space, each key behind its table's number and the number of the table's life (4 bytes each,
// big-endian). A table that is dropped begins another life; what is left of the old one is swept up later. Table 0 is the
// store's own.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CROCKS_KEY_BYTES_MAX (16 * 1024 * 1024 + 64 * 1024)
#define CROCKS_VALUE_BYTES_MAX (17 * 1024 * 1024)

typedef struct crocks_store crocks_store;

typedef enum crocks_status {
    CROCKS_OK = 0,
    // There is no such key.
    CROCKS_ABSENT,
    // It has to be prefetched.
    CROCKS_NOT_RESIDENT,
    // No room on the disk; what failed can be tried again.
    CROCKS_FULL,
    // What was written is not what is read.
    CROCKS_DAMAGED,
    // Files of a later version of the library, or with features that this one has not.
    CROCKS_UNKNOWN_FORMAT,
    CROCKS_FAILED,
} crocks_status;

typedef struct crocks_error {
    // In the library's words.
    char text[1024];
} crocks_error;

typedef struct crocks_options {
    const char *directory;
    // Make a new store there, of this number; else there is one. What a making left that did not come to its end is used.
    bool creates;
    uint64_t number;
    // The last batch that is known to be durable: checked before anything is changed. 0 where there is nothing to check.
    uint64_t durable;
    size_t cache_bytes;
    size_t write_buffer_bytes;
} crocks_options;

// Opens a store, or makes it, and reads the tables that are kept in memory. Not on the loop.
crocks_store *crocks_open(const crocks_options *options, crocks_status *status, crocks_error *error);
// The number it was made with, and the number of the last batch that it holds.
uint64_t crocks_number(const crocks_store *store);
uint64_t crocks_last(const crocks_store *store);
// Gives back what reads have handed out and prefetches hold; before the store is closed. Loop.
void crocks_release_all(crocks_store *store);
// Closes it and frees it, with everything that was not written. No job may be under way. Not on the loop.
void crocks_close(crocks_store *store, bool flushes);
// Moves what is in write buffers into sorted files. A job without begin and end.
crocks_status crocks_flush(crocks_store *store, crocks_error *error);

// What the library says of itself. A job without begin and end: some of it takes locks.
typedef struct crocks_properties {
    uint64_t cache_used_bytes, cache_pinned_bytes, write_buffer_bytes, table_reader_bytes;
    uint64_t file_bytes, level0_files, pending_compaction_bytes, running_compactions;
    uint64_t delayed_write_rate, is_write_stopped, background_errors;
} crocks_properties;
void crocks_get_properties(crocks_store *store, crocks_properties *properties);

// --- Reading. Loop.

typedef struct crocks_bytes {
    const void *start;
    size_t count;
} crocks_bytes;

// Finds a value. It is valid until the next `crocks_apply` or `crocks_release`.
crocks_status crocks_get(
    crocks_store *store, uint32_t table, crocks_bytes key, crocks_bytes *value, crocks_error *error);

typedef enum crocks_bound { CROCKS_START = 0, CROCKS_INCLUDING, CROCKS_BEHIND } crocks_bound;

typedef struct crocks_row {
    crocks_bytes key, value;
} crocks_row;

// Fills `rows` from a bound on; with CROCKS_OK, fewer than `capacity` are the last. Stops with CROCKS_NOT_RESIDENT behind
// what is in memory, or when `budget` bytes are used up, from which what is read is taken; the latter not before there is
// one row. Rows are valid as values are.
crocks_status crocks_scan(
    crocks_store *store, uint32_t table, crocks_bound kind, crocks_bytes bound, bool backward, crocks_row *rows,
    size_t capacity, size_t *budget, size_t *filled, crocks_error *error);

// Gives back what reads have handed out.
void crocks_release(crocks_store *store);

// Entries of a table, and the bytes of their keys and values. Too large by what was put or deleted blindly, over a key
// that is not in memory, until it is written.
void crocks_count(crocks_store *store, uint32_t table, int64_t *entries, int64_t *bytes);

// --- Writing.

// What is wrong with a batch, in the form that Core's WriteBatch has; NULL when nothing is.
const char *crocks_check(const void *operations, size_t length);
// Applies a batch that was checked: it is seen at once, and written by the next job. Loop.
void crocks_apply(crocks_store *store, const void *operations, size_t length);
// The number of the last batch that was applied. Loop.
uint64_t crocks_applied(const crocks_store *store);
// Bytes that were applied and not written yet, and those that are not sealed. Loop.
size_t crocks_waiting_bytes(const crocks_store *store);
size_t crocks_unsealed_bytes(const crocks_store *store);
// Ends a piece of what is to be written: a larger one would have to be moved in memory. Loop.
void crocks_seal(crocks_store *store);

typedef struct crocks_write crocks_write;
// Takes everything that was applied; NULL when there is nothing. One job of this kind at a time. Loop.
crocks_write *crocks_write_begin(crocks_store *store);
// The number of the last batch that it takes. Loop.
uint64_t crocks_write_last(const crocks_write *write);
// Writes and syncs. After an error a part of it may be written, and it can all be begun again.
crocks_status crocks_write_run(crocks_write *write, crocks_properties *properties, crocks_error *error);
// Loop.
void crocks_write_end(crocks_store *store, crocks_write *write);

typedef struct crocks_sweep crocks_sweep;
// Removes some of what is left of a table that was dropped; NULL when nothing is. One job of this kind at a time. Loop.
crocks_sweep *crocks_sweep_begin(crocks_store *store);
crocks_status crocks_sweep_run(crocks_sweep *sweep, size_t rows_max, crocks_error *error);
// Loop.
void crocks_sweep_end(crocks_store *store, crocks_sweep *sweep);

// Lets the library take writes again after the disk was full. A job without begin and end.
void crocks_resume(crocks_store *store);

// --- What is not in memory.

// Keeps a table in memory from now on, as a whole. Loop.
void crocks_keep(crocks_store *store, uint32_t table);

#define CROCKS_GET 1
#define CROCKS_FORWARD 2
#define CROCKS_BACKWARD 4

typedef struct crocks_prefetch crocks_prefetch;
crocks_prefetch *crocks_prefetch_begin(crocks_store *store);
// A key, or with an empty one an end of the table; what is wanted of it, and how many bytes of a scan. Loop.
void crocks_prefetch_add(
    crocks_store *store, crocks_prefetch *prefetch, uint32_t table, crocks_bytes key, int what, size_t scanned_bytes);
crocks_status crocks_prefetch_run(crocks_prefetch *prefetch, crocks_error *error);
// Where the scan of the last key ends that was added: the last row of it that is in memory. Empty when it has not got
// there.
crocks_bytes crocks_prefetch_scanned(const crocks_prefetch *prefetch);
// What it has found stays in memory until `keys_max` further keys have come, or fewer when what is held takes more than
// `bytes_max` of the cache. Loop.
void crocks_prefetch_end(crocks_store *store, crocks_prefetch *prefetch, size_t keys_max, size_t bytes_max);
// Lets go of the places that prefetched scans hold, which keep old files and buffers from being given back. Loop.
void crocks_forget_scans(crocks_store *store);

#ifdef __cplusplus
}
#endif
