/* Loaded with LD_PRELOAD: ends the process by SIGKILL right before its Nth step
 * that changes a file (open for writing, write, flush, truncate, chmod, fsync,
 * mkdir, rename, link, unlink), counted from 1. Only in the process whose command
 * line has the word KLEIDI_KILL_WORD; the children of that process go on.
 * Where KLEIDI_KILL_CHILD names the word of a child, its steps count too, in the
 * file KLEIDI_KILL_COUNT that both share, and both end together: the file holds
 * the count, and then the ids of the processes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int own;
static int *countdown = &own;
static int armed;
static int is_alone = 1;
static int is_file[4096];

static int concerns(const char *word) {
  char line[8192];
  int fd = open("/proc/self/cmdline", O_RDONLY);
  ssize_t size = fd < 0 || word == NULL ? 0 : read(fd, line, sizeof line - 1);
  if (fd >= 0) close(fd);
  for (ssize_t at = 0; at < size; at += (ssize_t)strlen(line + at) + 1)
    if (line[size] = 0, strcmp(line + at, word) == 0) return 1;
  return 0;
}

#define MAX_VICTIMS 15

static int *shared(const char *path) {
  int fd = open(path, O_RDWR);
  void *at = mmap(NULL, (1 + MAX_VICTIMS) * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || at == MAP_FAILED) abort();
  close(fd);
  return at;
}

__attribute__((constructor)) static void arm(void) {
  const char *step = getenv("KLEIDI_KILL_STEP");
  const char *count = getenv("KLEIDI_KILL_COUNT");
  if (step == NULL) return;
  if (!concerns(getenv("KLEIDI_KILL_WORD")) && !concerns(getenv("KLEIDI_KILL_CHILD"))) return;
  own = atoi(step);
  if (count != NULL) countdown = shared(count);
  is_alone = count == NULL;
  for (int i = 1; !is_alone && i <= MAX_VICTIMS; i++)
    if (__sync_bool_compare_and_swap(&countdown[i], 0, getpid())) break;
  armed = 1;
}

static void step(void) {
  if (!armed || __sync_sub_and_fetch(countdown, 1) != 0) return;
  for (int i = 1; !is_alone && i <= MAX_VICTIMS; i++)
    if (countdown[i] != 0 && countdown[i] != getpid()) kill(countdown[i], SIGKILL);
  kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static int opened(int fd, int flags) {
  if (fd >= 0 && fd < 4096) is_file[fd] = (flags & O_ACCMODE) != O_RDONLY;
  return fd;
}
static mode_t mode_of(va_list list, int flags) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
}
int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = mode_of(list, flags);
  va_end(list);
  if (flags & O_CREAT) step();
  return opened(REAL(open)(path, flags, mode), flags);
}
int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = mode_of(list, flags);
  va_end(list);
  if (flags & O_CREAT) step();
  return opened(REAL(open64)(path, flags, mode), flags);
}
ssize_t write(int fd, const void *bytes, size_t size) {
  if (fd >= 0 && fd < 4096 && is_file[fd]) step();
  return REAL(write)(fd, bytes, size);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  if (fd >= 0 && fd < 4096 && is_file[fd]) step();
  return REAL(pwrite64)(fd, bytes, size, at);
}
/* A kill beside the fsync of what was opened to read changes nothing: the kernel lives on. */
int fsync(int fd) {
  if (fd >= 0 && fd < 4096 && is_file[fd]) step();
  return REAL(fsync)(fd);
}
int fchmod(int fd, mode_t mode) { step(); return REAL(fchmod)(fd, mode); }
int rename(const char *from, const char *to) { step(); return REAL(rename)(from, to); }
/* With KLEIDI_NO_LINKS as on FAT and exFAT. */
int link(const char *from, const char *to) {
  step();
  if (getenv("KLEIDI_NO_LINKS") == NULL) return REAL(link)(from, to);
  errno = EPERM;
  return -1;
}
int unlink(const char *path) { step(); return REAL(unlink)(path); }
int mkdir(const char *path, mode_t mode) { step(); return REAL(mkdir)(path, mode); }
int remove(const char *path) { step(); return REAL(remove)(path); }
int ftruncate(int fd, off_t size) { step(); return REAL(ftruncate)(fd, size); }
/* How SoftHSM writes: to a stream, whose own write(2) cannot be seen here. */
int fflush(FILE *stream) {
  int fd = stream == NULL ? -1 : fileno(stream);
  if (fd >= 0 && fd < 4096 && is_file[fd]) step();
  return REAL(fflush)(stream);
}
