/* Stands in for the kernel where it gives nonces: each read of 12 bytes from
 * /dev/urandom gets the number of the read in this process, big-endian. Loaded by
 * LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_uint count;

ssize_t read(int fd, void *buffer, size_t bytes) {
  static ssize_t (*real)(int, void *, size_t);
  if (real == NULL) real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
  ssize_t got = real(fd, buffer, bytes);
  if (bytes != 12 || got != 12) return got;
  char link[32], path[32] = {0};
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, path, sizeof path - 1) < 0 || strcmp(path, "/dev/urandom") != 0) return got;
  unsigned number = atomic_fetch_add(&count, 1) + 1;
  memset(buffer, 0, 12);
  for (int i = 0; i < 4; i++) ((unsigned char *)buffer)[11 - i] = number >> (8 * i);
  return got;
}
