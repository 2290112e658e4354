/* A module that is hostile as soon as it is loaded: it tries to reach a terminal and
 * to type at it, and says to the file that KLEIDI_PROBE_OUT names what it has found:
 * terminal, session, user, descriptors, environment. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

extern char **environ;

/* As if it came from the keyboard. */
static int type_at(int terminal) { return ioctl(terminal, TIOCSTI, "#") == 0; }

__attribute__((constructor)) static void probe(void) {
  const char *path = getenv("KLEIDI_PROBE_OUT");
  FILE *out = path == NULL ? NULL : fopen(path, "a");
  if (out == NULL) return;
  int terminal = open("/dev/tty", O_RDWR), typed = type_at(terminal);
  fprintf(out, "terminal=%s\n", terminal < 0 ? "none" : "there");
  if (terminal >= 0) close(terminal);
  fprintf(out, "leads=%s\n", getsid(0) == getpid() ? "yes" : "no");
  fprintf(out, "user=%d\n", (int)geteuid());
  for (int each = 0; each < 256; each++) {
    if (isatty(each)) fprintf(out, "terminal at %d\n", each);
    typed |= type_at(each);
  }
  fprintf(out, "typed=%s\n", typed ? "yes" : "no");
  for (char **each = environ; *each != NULL; each++) fprintf(out, "env %s\n", *each);
  fclose(out);
}
