// Detects work that leaks out of an injected executor to Swift's global pool (docs/ARCHITECTURE.md, "One runtime").
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Installs the hook on the concurrency runtime's global enqueue functions. Idempotent.
void chooks_install(void);
// While on, every job that this thread hands to the global pool counts as a leak.
void chooks_guard_thread(bool on);
// The leaks that this thread has caused while guarded.
uint64_t chooks_leaks_of_thread(void);
