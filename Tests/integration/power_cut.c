// Keeps beside a directory what a power cut would leave of it: loaded in front of the C library into a server that is
// tested on a real disk.
//
// What was written is kept when the file is synced, and a name when its directory is. Nothing else: who believes that a
// write without a sync survives, or a name without one of its directory, loses it. The directory is that of
// POWER_CUT_ROOT; what is kept goes to POWER_CUT_KEPT, by number of inode:
//     files/N   the bytes of file N as of its last sync
//     names/N   the names in directory N as of its last sync: lines of "d" or "f", the inode and the name
//     links/N   a link to file N, so that no other file gets its number
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct range {
    off_t at;
    size_t count;
} range;

// What was written to a file since its last sync.
typedef struct unsynced {
    ino_t inode;
    range *ranges;
    size_t count, capacity;
    struct unsynced *next;
} unsynced;

#define DESCRIPTORS_MAX 4096
// The inode that a descriptor of the directory is open on, or 0.
static ino_t opened[DESCRIPTORS_MAX];
static unsynced *files;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void fail(const char *what) {
    perror(what);
    abort();
}

static void kept_path(char *path, size_t size, const char *kind, ino_t inode, const char *more) {
    snprintf(path, size, "%s/%s/%lu%s", getenv("POWER_CUT_KEPT"), kind, (unsigned long)inode, more);
}

static bool is_inside(const char *path) {
    const char *root = getenv("POWER_CUT_ROOT");
    size_t length = root == NULL ? 0 : strlen(root);
    return length > 0 && strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static unsynced *of_inode(ino_t inode) {
    for (unsynced *file = files; file != NULL; file = file->next) {
        if (file->inode == inode) return file;
    }
    unsynced *file = calloc(1, sizeof *file);
    if (file == NULL) fail("power_cut: calloc");
    file->inode = inode;
    file->next = files;
    return files = file;
}

static int note_opened(const char *path, int descriptor) {
    if (descriptor < 0 || !is_inside(path)) return descriptor;
    struct stat information;
    if (descriptor >= DESCRIPTORS_MAX || fstat(descriptor, &information) != 0) fail("power_cut: open");
    opened[descriptor] = information.st_ino;
    if (S_ISREG(information.st_mode)) {
        char kept[4096];
        kept_path(kept, sizeof kept, "links", information.st_ino, "");
        // There already when the file was opened before.
        (void)!link(path, kept);
    }
    return descriptor;
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return note_opened(path, REAL(open)(path, flags, mode));
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return note_opened(path, REAL(open64)(path, flags, mode));
}

int close(int descriptor) {
    if (descriptor >= 0 && descriptor < DESCRIPTORS_MAX) opened[descriptor] = 0;
    return REAL(close)(descriptor);
}

static ino_t inode_of(int descriptor) {
    return descriptor >= 0 && descriptor < DESCRIPTORS_MAX ? opened[descriptor] : 0;
}

static void note_write(int descriptor, ssize_t count, off_t at) {
    ino_t inode = inode_of(descriptor);
    if (inode == 0 || count <= 0) return;
    pthread_mutex_lock(&lock);
    unsynced *file = of_inode(inode);
    range *last = file->count > 0 ? &file->ranges[file->count - 1] : NULL;
    if (last != NULL && last->at + (off_t)last->count == at) {
        last->count += (size_t)count;
    } else {
        if (file->count == file->capacity) {
            file->capacity = file->capacity * 2 + 16;
            file->ranges = realloc(file->ranges, file->capacity * sizeof *file->ranges);
            if (file->ranges == NULL) fail("power_cut: realloc");
        }
        file->ranges[file->count++] = (range){at, (size_t)count};
    }
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t at) {
    ssize_t written = REAL(pwrite)(descriptor, bytes, count, at);
    note_write(descriptor, written, at);
    return written;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t at) {
    ssize_t written = REAL(pwrite64)(descriptor, bytes, count, at);
    note_write(descriptor, written, at);
    return written;
}

static void keep_names(int descriptor, ino_t inode) {
    char path[64], kept[4096], made[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    kept_path(kept, sizeof kept, "names", inode, "");
    kept_path(made, sizeof made, "names", inode, ".new");
    DIR *directory = opendir(path);
    FILE *list = fopen(made, "w");
    if (directory == NULL || list == NULL) fail("power_cut: names");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        fprintf(list, "%c %lu %s\n", entry->d_type == DT_DIR ? 'd' : 'f', (unsigned long)entry->d_ino, entry->d_name);
    }
    closedir(directory);
    if (fclose(list) != 0 || rename(made, kept) != 0) fail("power_cut: names");
}

static void keep_bytes(int descriptor, ino_t inode, const range *ranges, size_t count, off_t size) {
    char kept[4096];
    kept_path(kept, sizeof kept, "files", inode, "");
    int copy = REAL(open)(kept, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (copy < 0 || REAL(ftruncate)(copy, size) != 0) fail("power_cut: files");
    char *bytes = malloc(1 << 20);
    if (bytes == NULL) fail("power_cut: malloc");
    for (size_t i = 0; i < count; i++) {
        off_t at = ranges[i].at, end = at + (off_t)ranges[i].count;
        while (at < end) {
            size_t part = end - at < 1 << 20 ? (size_t)(end - at) : 1 << 20;
            ssize_t got = pread(descriptor, bytes, part, at);
            // Cut off meanwhile.
            if (got <= 0) break;
            if (REAL(pwrite)(copy, bytes, (size_t)got, at) != got) fail("power_cut: files");
            at += got;
        }
    }
    free(bytes);
    REAL(close)(copy);
}

static int synced(int descriptor, int result) {
    ino_t inode = inode_of(descriptor);
    struct stat information;
    if (inode == 0 || result != 0 || fstat(descriptor, &information) != 0) return result;
    // One after the other: what one sync keeps, no other may put back.
    pthread_mutex_lock(&lock);
    if (S_ISDIR(information.st_mode)) {
        keep_names(descriptor, inode);
    } else {
        unsynced *file = of_inode(inode);
        keep_bytes(descriptor, inode, file->ranges, file->count, information.st_size);
        file->count = 0;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int descriptor) { return synced(descriptor, REAL(fsync)(descriptor)); }
int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)(descriptor)); }
