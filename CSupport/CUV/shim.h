#pragma once
#include <uv.h>

// Names the calling thread, at most 15 bytes. The declaration is glibc's, which shows it to _GNU_SOURCE only.
static inline void cuv_name_thread(const char *name) {
    extern int pthread_setname_np(pthread_t, const char *);
    pthread_setname_np(pthread_self(), name);
}
