/* Counts the system calls that change a folder, and at the k-th does harm. Preloaded: LD_PRELOAD=injection.so.

   fault_arm(folder, kind, k, number, report): from then on the calls under `folder` are counted from 0, those of all
   threads and languages, and written to the file descriptor `report`, if that is not -1, one a line. Kinds of harm:

   k  SIGKILL before call k            h  half of the bytes of call k are written (or the call made), then SIGKILL
   f  call k and all that take room fail with `number` (ENOSPC), unlink and rmdir do not
   e  call k, and nothing else, fails with `number` (EIO)          r  call k and all after fail with `number` (EROFS)
   s  from call k on every write takes half of what it is given    t  SIGTERM at call k and at the next
   p  SIGSTOP before call k: whoever started this may do anything, then SIGCONT                    l  list, no harm

   Without fault_arm the environment says it: FAULT_FOLDER, FAULT_KIND, FAULT_AT, FAULT_NUMBER, FAULT_REPORT (a path).
   Calls are made by syscall(), so that nothing here depends on a libc's version. 64-bit Linux only. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static size_t length;
static char kind;
static long at, count, number;
static int report = -1;

enum { GO_ON, FAIL, HALF, LAST }; /* LAST: do what is asked, halved if it is a write, then die */

void fault_arm(const char *where, char what, long k, long value, int descriptor) {
    length = 0;
    snprintf(folder, sizeof folder, "%s", where);
    kind = what, at = k, number = value, report = descriptor, count = 0;
    length = strlen(folder);
}

long fault_count(void) { return count; }

static void *die_later(void *microseconds) {
    usleep((useconds_t)(long)microseconds);
    kill(getpid(), SIGKILL);
    return NULL;
}

void fault_kill_after(long microseconds) {
    pthread_t thread;
    pthread_create(&thread, NULL, die_later, (void *)microseconds);
}

__attribute__((constructor)) static void from_environment(void) {
    const char *where = getenv("FAULT_FOLDER"), *path = getenv("FAULT_REPORT"), *value = getenv("FAULT_NUMBER");
    if (!where) return;
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    fault_arm(where, *getenv("FAULT_KIND"), atol(getenv("FAULT_AT")), value ? atol(value) : 0, file);
}

static int link_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = 0;
    return n > 0;
}

/* What call number `count` on this path is to suffer. `room`: it takes room on the disk. */
static int fault(const char *call, int base, const char *name, int room) {
    char path[2 * PATH_MAX];
    if (!length) return GO_ON;
    if (name && *name == '/') snprintf(path, sizeof path, "%s", name);
    else {
        if (base == AT_FDCWD) { if (!getcwd(path, PATH_MAX)) return GO_ON; }
        else if (!link_of(base, path)) return GO_ON;
        if (name) { strcat(path, "/"); strncat(path, name, PATH_MAX - 1); }
    }
    if (strncmp(path, folder, length) || (path[length] && path[length] != '/')) return GO_ON;
    long k = __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST);
    if (report >= 0 && (kind == 'l' || k == at)) {
        char line[2 * PATH_MAX + 64];
        int n = snprintf(line, sizeof line, "%s %s\n", call, path + length + (path[length] == '/'));
        syscall(SYS_write, report, line, n);
    }
    switch (kind) {
    case 'k': if (k == at) kill(getpid(), SIGKILL); return GO_ON;
    case 'h': return k == at ? LAST : GO_ON;
    case 'f': return k >= at && room ? FAIL : GO_ON;
    case 'e': return k == at ? FAIL : GO_ON;
    case 'r': return k >= at ? FAIL : GO_ON;
    case 's': return k >= at ? HALF : GO_ON;
    case 't': if (k == at || k == at + 1) kill(getpid(), SIGTERM); return GO_ON;
    case 'p': if (k == at) kill(getpid(), SIGSTOP); return GO_ON;
    }
    return GO_ON;
}

static long ended(int verdict, long answer) {
    if (verdict == LAST) kill(getpid(), SIGKILL);
    return answer;
}

#define MEET(call, base, name, room)                            \
    int verdict = fault(call, base, name, room);                \
    if (verdict == FAIL) { errno = (int)number; return -1; }
#define HALVED(n) ((verdict == HALF || verdict == LAST) && (n) > 1 ? (n) / 2 : (n))

static int open_at(int base, const char *name, int flags, unsigned mode) {
    int verdict = GO_ON;
    if (flags & (O_CREAT | O_WRONLY | O_RDWR)) verdict = fault("open", base, name, flags & O_CREAT);
    if (verdict == FAIL) { errno = (int)number; return -1; }
    return (int)ended(verdict, syscall(SYS_openat, base, name, flags, mode));
}

#define MODE unsigned mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); \
    mode = va_arg(rest, unsigned); va_end(rest); }
int open(const char *name, int flags, ...) { MODE return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return open_at(AT_FDCWD, name, flags, mode); }
int openat(int base, const char *name, int flags, ...) { MODE return open_at(base, name, flags, mode); }
int openat64(int base, const char *name, int flags, ...) { MODE return open_at(base, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

ssize_t write(int file, const void *bytes, size_t n) {
    MEET("write", file, NULL, 1)
    return ended(verdict, syscall(SYS_write, file, bytes, HALVED(n)));
}
ssize_t pwrite(int file, const void *bytes, size_t n, off_t where) {
    MEET("pwrite", file, NULL, 1)
    return ended(verdict, syscall(SYS_pwrite64, file, bytes, HALVED(n), where));
}
ssize_t pwrite64(int file, const void *bytes, size_t n, off_t where) { return pwrite(file, bytes, n, where); }
struct iovec;
ssize_t writev(int file, const struct iovec *parts, int n) {
    MEET("writev", file, NULL, 1)
    return ended(verdict, syscall(SYS_writev, file, parts, HALVED(n)));
}
int ftruncate(int file, off_t size) {
    MEET("ftruncate", file, NULL, 1)
    return (int)ended(verdict, syscall(SYS_ftruncate, file, size));
}
int ftruncate64(int file, off_t size) { return ftruncate(file, size); }
int fsync(int file) {
    MEET("fsync", file, NULL, 0)
    return (int)ended(verdict, syscall(SYS_fsync, file));
}
int fdatasync(int file) {
    MEET("fdatasync", file, NULL, 0)
    return (int)ended(verdict, syscall(SYS_fdatasync, file));
}
int renameat(int from, const char *old, int to, const char *name) {
    MEET("rename", to, name, 0)
    return (int)ended(verdict, syscall(SYS_renameat2, from, old, to, name, 0));
}
int rename(const char *old, const char *name) { return renameat(AT_FDCWD, old, AT_FDCWD, name); }
int mkdirat(int base, const char *name, mode_t mode) {
    MEET("mkdir", base, name, 1)
    return (int)ended(verdict, syscall(SYS_mkdirat, base, name, mode));
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
int unlinkat(int base, const char *name, int flags) {
    MEET(flags ? "rmdir" : "unlink", base, name, 0)
    return (int)ended(verdict, syscall(SYS_unlinkat, base, name, flags));
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
