#define _GNU_SOURCE
#include "CHooks.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

// What this thread is doing, for the one line that is written when it ends the process. Plain bytes, written whole
// before the length: the handler runs on the same thread and takes no lock.
static _Thread_local char loop_name[48];
static _Thread_local char command_text[192];
static _Thread_local volatile size_t command_length;
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

void chooks_command_began(const void *name, size_t name_length, const void *database, size_t database_length,
                          const void *collection, size_t collection_length) {
    const size_t size = sizeof command_text;
    command_length = 0;
    size_t at = put(command_text, 64, name, name_length);
    if (database_length > 0) {
        at += put(command_text + at, size - at, " on ", 4);
        at += put(command_text + at, 64, database, database_length);
    }
    if (collection_length > 0) {
        at += put(command_text + at, size - at, ".", 1);
        at += put(command_text + at, size - at, collection, collection_length);
    }
    command_length = at;
}

void chooks_command_ended(void) { command_length = 0; }

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
    if (command_length > 0) {
        at += put(line + at, 16, ", running ", 10);
        // Names come from clients: what would break the line is not written.
        for (size_t i = 0; i < command_length && i < sizeof command_text; i++) {
            char byte = command_text[i];
            line[at++] = (unsigned char)byte < 0x20 || byte == 0x7F ? '?' : byte;
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
