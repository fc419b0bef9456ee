// What runtimes need of C: detecting work that leaks out of an injected executor to Swift's global pool
// (docs/ARCHITECTURE.md, "One runtime"), and reading the system's time zones.
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
// What the calling thread runs from now on; the bytes are copied, in part when they are many.
void chooks_command_began(const void *name, size_t name_length, const void *database, size_t database_length,
                          const void *collection, size_t collection_length);
void chooks_command_ended(void);
