/* Preloaded, makes one system call of a program fail, be cut short, or be its last.
 *
 * FAULT_BELOW   folder: only files below it count
 * FAULT_CALL    open, write, fsync, rename, mmap, unlink, link, mkdir or truncate
 * FAULT_AT      number of the call of that kind, from 1; 0 for none
 * FAULT_KIND    an errno by name (EIO, ENOSPC, ENOMEM), `half` (a write of half the bytes, then ENOSPC), `kill` (SIGKILL in
 *               its place), `torn` (half of it, then SIGKILL), or `lie` (success without effect, from that call on)
 * FAULT_LOG     file that gets a line for each call that counted: its kind, and the path or the target
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, WRITE, FSYNC, RENAME, MMAP, UNLINK, LINK, MKDIR, TRUNCATE, CALLS };
static const char *const NAMES[CALLS] = {"open", "write", "fsync", "rename", "mmap", "unlink", "link", "mkdir", "truncate"};
static int counts[CALLS];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static int counted_path(const char *path) {
    const char *below = getenv("FAULT_BELOW");
    char full[2 * PATH_MAX];
    if (!below || !path) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(full, sizeof full, "%s/%s", here, path);
        path = full;
    }
    return !strncmp(path, below, strlen(below));
}

/* Puts the file's path into `path`, of PATH_MAX bytes. */
static int counted_fd(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return counted_path(path);
}

static void tell(int call, const char *path) {
    static int log = -2;
    char line[PATH_MAX + 16];
    if (log == -2) {
        const char *name = getenv("FAULT_LOG");
        log = name ? REAL(open)(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    }
    int length = snprintf(line, sizeof line, "%s %s\n", NAMES[call], path);
    if (log >= 0 && REAL(write)(log, line, length) != length) abort();
}

static int error_of(const char *kind) {
    if (!strcmp(kind, "EIO")) return EIO;
    if (!strcmp(kind, "ENOSPC") || !strcmp(kind, "half")) return ENOSPC;
    if (!strcmp(kind, "ENOMEM")) return ENOMEM;
    return 0;
}

/* The kind of fault that this call gets, or NULL. */
static const char *fault(int call) {
    const char *wanted = getenv("FAULT_CALL"), *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
    int count = __atomic_add_fetch(&counts[call], 1, __ATOMIC_SEQ_CST);
    if (!wanted || !at || !kind || strcmp(wanted, NAMES[call]) || atoi(at) == 0) return NULL;
    int lies = !strcmp(kind, "lie");
    return (lies ? count >= atoi(at) : count == atoi(at)) ? kind : NULL;
}

/* For calls that cannot be done by half. True if the call is not to be made; errno is set, or 0 for a lie. */
static int refused(int call, const char *path) {
    const char *kind = fault(call);
    if (!kind) {
        tell(call, path);
        return 0;
    }
    if (!strcmp(kind, "kill") || !strcmp(kind, "torn")) raise(SIGKILL);
    errno = error_of(kind);
    if (!errno) tell(call, path);
    return 1;
}

#define OPENER(name)                                                       \
    int name(const char *path, int flags, ...) {                           \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                      \
        if (counted_path(path) && refused(OPEN, path)) return -1;          \
        return REAL(name)(path, flags, mode);                              \
    }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name)                                                    \
    int name(int folder, const char *path, int flags, ...) {               \
        va_list rest;                                                      \
        va_start(rest, flags);                                             \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                      \
        if (folder == AT_FDCWD && counted_path(path) && refused(OPEN, path)) return -1; \
        return REAL(name)(folder, path, flags, mode);                      \
    }
OPENER_AT(openat)
OPENER_AT(openat64)

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_MAX];
    if (!counted_fd(fd, path)) return REAL(write)(fd, bytes, length);
    static __thread int follows_half;
    if (follows_half) {
        follows_half = 0;
        errno = ENOSPC;
        return -1;
    }
    const char *kind = fault(WRITE);
    if (!kind) {
        tell(WRITE, path);
        return REAL(write)(fd, bytes, length);
    }
    if (!strcmp(kind, "kill")) raise(SIGKILL);
    if (!strcmp(kind, "half") || !strcmp(kind, "torn")) {
        ssize_t written = REAL(write)(fd, bytes, length / 2);
        if (!strcmp(kind, "torn")) raise(SIGKILL);
        follows_half = 1;
        if (written > 0) return written;
    }
    errno = error_of(kind);
    return errno ? -1 : (ssize_t)length;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        if (!parts[i].iov_len) continue;
        ssize_t written = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0) return all ? all : written;
        all += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return all;
}

int fsync(int fd) {
    char path[PATH_MAX];
    if (counted_fd(fd, path) && refused(FSYNC, path)) return errno ? -1 : 0;
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    char path[PATH_MAX];
    if (counted_fd(fd, path) && refused(FSYNC, path)) return errno ? -1 : 0;
    return REAL(fdatasync)(fd);
}

int rename(const char *from, const char *to) {
    if (counted_path(to) && refused(RENAME, to)) return errno ? -1 : 0;
    return REAL(rename)(from, to);
}

int unlink(const char *path) {
    if (counted_path(path) && refused(UNLINK, path)) return errno ? -1 : 0;
    return REAL(unlink)(path);
}

int link(const char *from, const char *to) {
    if (counted_path(to) && refused(LINK, to)) return errno ? -1 : 0;
    return REAL(link)(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    if (counted_path(to) && refused(LINK, to)) return errno ? -1 : 0;
    return REAL(linkat)(from_folder, from, to_folder, to, flags);
}

int mkdir(const char *path, mode_t mode) {
    if (counted_path(path) && refused(MKDIR, path)) return errno ? -1 : 0;
    return REAL(mkdir)(path, mode);
}

#define TRUNCATER(name)                                                    \
    int name(int fd, __typeof__((off_t)0) length) {                        \
        char path[PATH_MAX];                                               \
        if (counted_fd(fd, path) && refused(TRUNCATE, path)) return errno ? -1 : 0; \
        return REAL(name)(fd, length);                                     \
    }
TRUNCATER(ftruncate)
TRUNCATER(ftruncate64)

#define MAPPER(name)                                                                            \
    void *name(void *at, size_t length, int protection, int flags, int fd, __typeof__((off_t)0) offset) { \
        char path[PATH_MAX];                                                                    \
        if (fd >= 0 && counted_fd(fd, path) && refused(MMAP, path)) return MAP_FAILED;          \
        return REAL(name)(at, length, protection, flags, fd, offset);                           \
    }
MAPPER(mmap)
MAPPER(mmap64)
