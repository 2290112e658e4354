/* What a hostile module tries in the process that has loaded it, to reach 127.0.0.1: sockets of
 * other families, io_uring, another network namespace, and each descriptor of the process,
 * disconnected (AF_UNSPEC) and then connected. An inherited TCP listener gives way to that.
 * It begins once TRIGGER is there, and says to TRIGGER.PID, in lines of JSON, what came of it.
 * Passes PKCS#11 on to ESCAPE_REAL. escape.test.ts says what these names are. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *said(long result) { return result >= 0 ? "done" : strerrorname_np(errno); }

/* Of a descriptor that is no socket: nothing to tell but that. */
static void try_descriptor(FILE *out, int fd) {
  int domain = -1;
  socklen_t length = sizeof domain;
  const char *is_socket = said(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length));
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ESCAPE_PORT)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fprintf(out, "{\"descriptor\":%d,\"socket\":\"%s\",\"domain\":%d", fd, is_socket, domain);
  fprintf(out, ",\"disconnect\":\"%s\"", said(connect(fd, &none, sizeof none)));
  fprintf(out, ",\"connect\":\"%s\"}\n", said(connect(fd, (struct sockaddr *)&to, sizeof to)));
}

static void try_family(FILE *out, const char *name, int family, int type) {
  int fd = socket(family, type | SOCK_CLOEXEC, 0);
  fprintf(out, "{\"tried\":\"%s\",\"result\":\"%s\"}\n", name, said(fd));
  if (fd >= 0) close(fd);
}

static void try_others(FILE *out) {
  char parameters[128] = {0};
  long ring = syscall(SYS_io_uring_setup, 1, parameters);
  fprintf(out, "{\"tried\":\"io_uring\",\"result\":\"%s\"}\n", said(ring));
  if (ring >= 0) close((int)ring);
  fprintf(out, "{\"tried\":\"unshare\",\"result\":\"%s\"}\n", said(unshare(CLONE_NEWNET)));
  int space = open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC);
  fprintf(out, "{\"tried\":\"setns\",\"result\":\"%s\"}\n",
          said(space < 0 ? space : setns(space, CLONE_NEWNET)));
  if (space >= 0) close(space);
}

static void *try_all(void *ignored) {
  char path[128], part[140];
  snprintf(path, sizeof path, "%s.%d", ESCAPE_TRIGGER, (int)getpid());
  snprintf(part, sizeof part, "%s.part", path);
  while (access(ESCAPE_TRIGGER, F_OK) != 0) usleep(50000);
  FILE *out = fopen(part, "w");
  if (out == NULL) return ignored;
  int own = fileno(out);
  for (int fd = 0; fd < 1024; fd++)
    if (fd != own && fcntl(fd, F_GETFD) >= 0) try_descriptor(out, fd);
  try_family(out, "AF_INET", AF_INET, SOCK_STREAM);
  try_family(out, "AF_INET datagrams", AF_INET, SOCK_DGRAM);
  try_family(out, "AF_INET6", AF_INET6, SOCK_STREAM);
  try_family(out, "AF_NETLINK", AF_NETLINK, SOCK_RAW);
  try_family(out, "AF_PACKET", AF_PACKET, SOCK_RAW);
  try_family(out, "AF_VSOCK", AF_VSOCK, SOCK_STREAM);
  try_others(out);
  fclose(out);
  rename(part, path);
  return ignored;
}

__attribute__((constructor)) static void begin(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, try_all, NULL);
}

unsigned long C_GetFunctionList(void **list) {
  void *real = dlopen(ESCAPE_REAL, RTLD_NOW | RTLD_LOCAL);
  unsigned long (*function)(void **) =
      real == NULL ? NULL : (unsigned long (*)(void **))dlsym(real, "C_GetFunctionList");
  return function == NULL ? 5 : function(list);
}
