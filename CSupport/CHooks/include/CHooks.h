// What runtimes need of C: detecting work that leaks out of an injected executor to Swift's global pool
// (docs/ARCHITECTURE.md, decision 3), and reading the system's time zones.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Installs the hook on the concurrency runtime's global enqueue functions. Idempotent.
void chooks_install(void);
// While on, every job that this thread hands to the global pool counts as a leak.
void chooks_guard_thread(bool on);
// The leaks that this thread has caused while guarded.
uint64_t chooks_leaks_of_thread(void);
// Reads the file of a time zone below TZDIR, or else /usr/share/zoneinfo, into `size` bytes. The number of its bytes, or
// -1 for none, or for one that does not fit. `name` has been checked: it leads nowhere else.
int64_t chooks_read_time_zone(const char *name, void *out, int64_t size);

// Says on stderr, in one line, which signal ended the process, in which loop and while which command ran; then the
// signal does what it does. For SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE and SIGABRT; for programs, not for libraries.
void chooks_report_crashes(void);
// The calling thread's name in that line, and a stack for the handler.
void chooks_name_loop(const char *name, size_t length);
// What the calling thread runs: a command document and the name of its database. Read in place when a signal comes, so
// that a command costs no more than these words; they are valid until it is over.
typedef struct {
    const unsigned char *volatile document;
    const void *database;
    size_t database_length;
} chooks_command;
extern _Thread_local chooks_command chooks_running;

static inline void chooks_command_began(const void *document, const void *database, size_t database_length) {
    chooks_running.database = database;
    chooks_running.database_length = database_length;
    chooks_running.document = (const unsigned char *)document;
}
static inline void chooks_command_ended(void) { chooks_running.document = NULL; }
static inline bool chooks_command_runs(void) { return chooks_running.document != NULL; }
