#define _GNU_SOURCE
#include "CHooks.h"
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

// What this thread is doing, for the one line that is written when it ends the process. The handler runs on the same
// thread and takes no lock.
static _Thread_local char loop_name[48];
_Thread_local chooks_command chooks_running;
// A thread that has used up its stack has no room for a handler.
static _Thread_local char spare_stack[16 * 1024];

void chooks_name_loop(const char *name, size_t length) {
    if (length >= sizeof loop_name) length = sizeof loop_name - 1;
    memcpy(loop_name, name, length);
    loop_name[length] = 0;
    stack_t stack = {.ss_sp = spare_stack, .ss_size = sizeof spare_stack};
    sigaltstack(&stack, NULL);
}

static size_t put(char *at, size_t room, const void *bytes, size_t length) {
    if (length > room) length = room;
    memcpy(at, bytes, length);
    return length;
}

// The command's name, and where it runs, from the first element of its document: type, name, value. It was validated
// when it came; a string has its length in front.
static size_t put_command(char *at, size_t room, const unsigned char *document) {
    if (document[4] == 0) return 0;
    const char *name = (const char *)document + 5;
    size_t length = strnlen(name, 64);
    size_t count = put(at, room, name, length);
    if (chooks_running.database_length > 0) {
        count += put(at + count, room - count, " on ", 4);
        size_t size = chooks_running.database_length;
        count += put(at + count, room - count, chooks_running.database, size < 64 ? size : 64);
    }
    if (document[4] == 0x02 && name[length] == 0) {
        uint32_t size;
        memcpy(&size, name + length + 1, sizeof size);
        count += put(at + count, room - count, ".", 1);
        if (size > 0) count += put(at + count, room - count, name + length + 5, size - 1);
    }
    return count;
}

static const char *signal_name(int number) {
    switch (number) {
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    default: return "SIGABRT";
    }
}

// Only calls that are safe in a signal handler. The signal's own action has been put back (SA_RESETHAND), so that it
// ends the process when it is raised again.
static void on_crash(int number) {
    char line[384];
    size_t at = put(line, 64, "quorate: ended by ", 18);
    at += put(line + at, 16, signal_name(number), strlen(signal_name(number)));
    if (loop_name[0]) {
        at += put(line + at, 16, " in ", 4);
        at += put(line + at, sizeof loop_name, loop_name, strlen(loop_name));
    }
    if (chooks_running.document) {
        at += put(line + at, 16, ", running ", 10);
        size_t end = at + put_command(line + at, 192, chooks_running.document);
        // Names come from clients: what would break the line is not written.
        for (; at < end; at++) {
            if ((unsigned char)line[at] < 0x20 || line[at] == 0x7F) line[at] = '?';
        }
    }
    line[at++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, at);
    (void)written;
    raise(number);
}

void chooks_report_crashes(void) {
    const int numbers[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK)};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}
