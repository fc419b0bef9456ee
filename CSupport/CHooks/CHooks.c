#include "CHooks.h"
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Swift's runtime calls through these pointers when they are set (swift/Runtime/Concurrency.h, "hooks").
#define SWIFTCALL __attribute__((swiftcall))
typedef SWIFTCALL void (*enqueue_original)(void *job);
typedef SWIFTCALL void (*enqueue_delay_original)(unsigned long long delay, void *job);
extern void(SWIFTCALL *swift_task_enqueueGlobal_hook)(void *job, enqueue_original original);
extern void(SWIFTCALL *swift_task_enqueueGlobalWithDelay_hook)(unsigned long long delay, void *job,
                                                               enqueue_delay_original original);

static _Thread_local bool guarded;
static _Thread_local uint64_t leaks;

static SWIFTCALL void on_enqueue(void *job, enqueue_original original) {
    if (guarded) leaks++;
    original(job);
}

static SWIFTCALL void on_enqueue_delay(unsigned long long delay, void *job, enqueue_delay_original original) {
    if (guarded) leaks++;
    original(delay, job);
}

void chooks_install(void) {
    swift_task_enqueueGlobal_hook = on_enqueue;
    swift_task_enqueueGlobalWithDelay_hook = on_enqueue_delay;
}

void chooks_guard_thread(bool on) { guarded = on; }
uint64_t chooks_leaks_of_thread(void) { return leaks; }

int64_t chooks_read_time_zone(const char *name, void *out, int64_t size) {
    const char *folder = getenv("TZDIR");
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", folder && *folder ? folder : "/usr/share/zoneinfo", name);
    if (length < 0 || (size_t)length >= sizeof path) return -1;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    int64_t count = 0;
    while (count < size) {
        ssize_t part = read(file, (char *)out + count, (size_t)(size - count));
        if (part <= 0) {
            if (part < 0) count = -1;
            break;
        }
        count += part;
    }
    close(file);
    return count < size ? count : -1;
}
