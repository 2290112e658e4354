/* A PKCS#11 module that passes every call on to a real one, and fails, delays
 * or ends the process in the calls that a plan names. The plan is a text file,
 * looked at anew in each wrapped call, so that a test can change it under a
 * running daemon. One fault a line:
 *
 *   FUNCTION fail CODE     answers with this return value, 0x30 or 48
 *   FUNCTION delay MS      then calls the real function
 *   FUNCTION hang          never returns
 *   FUNCTION abort | exit CODE
 *   FUNCTION shorten BYTES C_Encrypt, C_Decrypt: the output loses its end
 *   C_GetInfo rename NAME  the module is no longer known as SoftHSM
 *
 * and behind any of them, counted in each process from the plan's last change:
 *
 *   after N                the first N calls are spared
 *   times M, or only M     then so many are hit, and the rest spared
 *
 * KLEIDI_FAULT_REAL  the real module
 * KLEIDI_FAULT_PLAN  the plan; may be missing
 * KLEIDI_FAULT_TRACE gets a line per wrapped call: pid/thread, function, then names
 *                    with values, the return value last. Never a PIN or a key. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pkcs11.h"

struct fault {
  char function[32], verb[16], argument[32];
  unsigned long after, times, seen;
};

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST mine;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault plan[32];
static size_t planned;
static struct stat plan_seen;

static void trace(const char *name, const char *details) {
  const char *path = getenv("KLEIDI_FAULT_TRACE");
  int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
  if (fd < 0) return;
  dprintf(fd, "%d/%d %s %s\n", (int)getpid(), (int)gettid(), name, details);
  close(fd);
}

static void parse(const char *line, struct fault *fault) {
  char rest[6][32] = {{0}};
  memset(fault, 0, sizeof *fault);
  fault->times = (unsigned long)-1;
  int words = sscanf(line, "%31s %15s %31s %31s %31s %31s %31s %31s", fault->function, fault->verb,
                     rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]) - 2;
  for (int i = 0; i < words; i++) {
    if (!strcmp(rest[i], "after")) fault->after = strtoul(rest[++i], NULL, 0);
    else if (!strcmp(rest[i], "times")) fault->times = strtoul(rest[++i], NULL, 0);
    else if (i == 0) memcpy(fault->argument, rest[i], sizeof fault->argument);
    else fault->times = strtoul(rest[i], NULL, 0);
  }
}

/* A plan is replaced by a rename, so another inode is another plan. */
static void read_plan(void) {
  const char *path = getenv("KLEIDI_FAULT_PLAN");
  struct stat now = {0};
  char line[256];
  if (path) (void)!stat(path, &now);
  if (now.st_ino == plan_seen.st_ino && now.st_size == plan_seen.st_size &&
      now.st_mtim.tv_sec == plan_seen.st_mtim.tv_sec &&
      now.st_mtim.tv_nsec == plan_seen.st_mtim.tv_nsec)
    return;
  plan_seen = now;
  planned = 0;
  FILE *file = fopen(path, "r");
  if (!file) return;
  while (planned < 32 && fgets(line, sizeof line, file)) parse(line, &plan[planned++]);
  fclose(file);
}

/* The verbs that hit this call of the function: those that end or delay it are
 * carried out here, the others are returned. */
static struct fault strike(const char *name) {
  struct fault hit[32], result = {0};
  size_t hits = 0;
  pthread_mutex_lock(&lock);
  read_plan();
  for (size_t i = 0; i < planned; i++) {
    if (strcmp(plan[i].function, name)) continue;
    unsigned long nth = plan[i].seen++;
    if (nth >= plan[i].after && nth - plan[i].after < plan[i].times) hit[hits++] = plan[i];
  }
  pthread_mutex_unlock(&lock);
  for (size_t i = 0; i < hits; i++) {
    const char *verb = hit[i].verb;
    long number = strtol(hit[i].argument, NULL, 0);
    if (!strcmp(verb, "delay")) usleep((useconds_t)number * 1000);
    else if (!strcmp(verb, "fail") || !strcmp(verb, "shorten") || !strcmp(verb, "rename")) result = hit[i];
    else {
      trace(name, verb);
      if (!strcmp(verb, "exit")) _exit((int)number);
      if (!strcmp(verb, "abort")) abort();
      for (;;) pause();
    }
  }
  return result;
}

static int is(const struct fault *fault, const char *verb) { return !strcmp(fault->verb, verb); }

static void shorten(const struct fault *fault, CK_RV rv, CK_ULONG_PTR length) {
  CK_ULONG bytes = strtoul(fault->argument, NULL, 0);
  if (rv == CKR_OK && is(fault, "shorten")) *length -= bytes < *length ? bytes : *length;
}

static void gcm(char *text, size_t size, CK_MECHANISM_PTR mechanism) {
  CK_GCM_PARAMS_PTR p = mechanism->pParameter;
  char iv[33] = "";
  if (mechanism->mechanism != CKM_AES_GCM || mechanism->ulParameterLen != sizeof *p) {
    snprintf(text, size, "mechanism %lu ", mechanism->mechanism);
    return;
  }
  for (CK_ULONG i = 0; i < p->ulIvLen && i < 16; i++) sprintf(iv + 2 * i, "%02x", p->pIv[i]);
  snprintf(text, size, "mechanism %lu tagBits %lu ivBits %lu iv %s aad %lu ", mechanism->mechanism,
           p->ulTagBits, p->ulIvBits, iv, p->ulAADLen);
}

/* DETAIL is a statement that may fill `details`; AFTER one that sees `rv`. */
#define WRAP(name, parameters, arguments, DETAIL, AFTER)                             \
  static CK_RV my_##name parameters {                                                \
    char details[200] = "", line[240];                                               \
    DETAIL;                                                                          \
    struct fault fault = strike(#name);                                              \
    CK_RV rv = is(&fault, "fail") ? strtoul(fault.argument, NULL, 0) : real->name arguments; \
    AFTER;                                                                           \
    snprintf(line, sizeof line, "%srv %lu", details, rv);                            \
    trace(#name, line);                                                              \
    return rv;                                                                       \
  }
#define NOTE(...) snprintf(details, sizeof details, __VA_ARGS__)
#define NONE (void)0

WRAP(C_Finalize, (CK_VOID_PTR r), (r), NONE, NONE)
WRAP(C_GetSlotList, (CK_BBOOL t, CK_SLOT_ID_PTR l, CK_ULONG_PTR n), (t, l, n), NONE, NONE)
WRAP(C_GetTokenInfo, (CK_SLOT_ID s, CK_TOKEN_INFO_PTR i), (s, i), NONE, NONE)
WRAP(C_GetMechanismList, (CK_SLOT_ID s, CK_MECHANISM_TYPE_PTR l, CK_ULONG_PTR n), (s, l, n), NONE, NONE)
WRAP(C_OpenSession, (CK_SLOT_ID s, CK_FLAGS f, CK_VOID_PTR a, CK_NOTIFY n, CK_SESSION_HANDLE_PTR h), (s, f, a, n, h), NOTE("flags %lu ", f), NONE)
WRAP(C_CloseSession, (CK_SESSION_HANDLE s), (s), NONE, NONE)
WRAP(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR i), (s, i), NONE, NONE)
WRAP(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE u, CK_UTF8CHAR_PTR p, CK_ULONG n), (s, u, p, n), NOTE("user %lu ", u), NONE)
WRAP(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, t, n), NONE, NONE)
WRAP(C_FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG m, CK_ULONG_PTR n), (s, o, m, n), NONE, NONE)
WRAP(C_CopyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR c), (s, o, t, n, c), NONE, NONE)
WRAP(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), (s, o), NONE, NONE)
WRAP(C_SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), NOTE("mechanism %lu ", m->mechanism), NONE)
WRAP(C_Sign, (CK_SESSION_HANDLE s, CK_BYTE_PTR d, CK_ULONG n, CK_BYTE_PTR o, CK_ULONG_PTR l), (s, d, n, o, l), NOTE("bytes %lu ", n), NONE)
WRAP(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), gcm(details, sizeof details, m), NONE)
WRAP(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), gcm(details, sizeof details, m), NONE)
WRAP(C_Encrypt, (CK_SESSION_HANDLE s, CK_BYTE_PTR d, CK_ULONG n, CK_BYTE_PTR o, CK_ULONG_PTR l), (s, d, n, o, l), NOTE("bytes %lu ", n), shorten(&fault, rv, l))
WRAP(C_Decrypt, (CK_SESSION_HANDLE s, CK_BYTE_PTR d, CK_ULONG n, CK_BYTE_PTR o, CK_ULONG_PTR l), (s, d, n, o, l), NOTE("bytes %lu ", n), shorten(&fault, rv, l))

static CK_RV my_C_Initialize(CK_VOID_PTR arguments) {
  CK_C_INITIALIZE_ARGS_PTR given = arguments;
  char details[64];
  /* Traced before the call: a fault may end the process in it. */
  snprintf(details, sizeof details, "flags %lu", given ? given->flags : 0);
  trace("C_Initialize", details);
  struct fault fault = strike("C_Initialize");
  return is(&fault, "fail") ? strtoul(fault.argument, NULL, 0) : real->C_Initialize(arguments);
}

static CK_RV my_C_GetInfo(CK_INFO_PTR info) {
  struct fault fault = strike("C_GetInfo");
  if (is(&fault, "fail")) return strtoul(fault.argument, NULL, 0);
  CK_RV rv = real->C_GetInfo(info);
  if (rv != CKR_OK || !is(&fault, "rename")) return rv;
  memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
  memset(info->libraryDescription, ' ', sizeof info->libraryDescription);
  memcpy(info->manufacturerID, fault.argument, strlen(fault.argument));
  return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  const char *path = getenv("KLEIDI_FAULT_REAL");
  void *library = path ? dlopen(path, RTLD_NOW) : NULL;
  CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
  CK_RV rv = get ? get(&real) : CKR_GENERAL_ERROR;
  if (rv != CKR_OK) return rv;
  mine = *real;
#define USE(name) mine.name = my_##name
  USE(C_Initialize), USE(C_Finalize), USE(C_GetInfo), USE(C_GetSlotList), USE(C_GetTokenInfo);
  USE(C_GetMechanismList), USE(C_OpenSession), USE(C_CloseSession), USE(C_GetSessionInfo);
  USE(C_Login), USE(C_FindObjectsInit), USE(C_FindObjects), USE(C_CopyObject), USE(C_DestroyObject);
  USE(C_SignInit), USE(C_Sign), USE(C_EncryptInit), USE(C_Encrypt), USE(C_DecryptInit), USE(C_Decrypt);
  *list = &mine;
  return CKR_OK;
}
