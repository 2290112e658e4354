/* A PKCS#11 module that passes every call on to a real one, and fails, delays
 * or ends the process in the calls that a plan names. The plan is a text file,
 * read anew at each wrapped call, so that a test can change it under a running
 * daemon. One fault a line:
 *
 *   FUNCTION fail 0xCODE | delay MS | hang 0 | exit CODE  [TIMES]
 *   C_GetInfo rename 0          the module is no longer known as SoftHSM
 *
 * KLEIDI_FAULT_REAL  the real module
 * KLEIDI_FAULT_PLAN  the plan; may be missing
 * KLEIDI_FAULT_TRACE a file that gets one line per wrapped call */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST mine;
static int used[64];

static void trace(const char *name, const char *what, unsigned long value) {
  const char *path = getenv("KLEIDI_FAULT_TRACE");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file) return;
  fprintf(file, "%d %s %s %lu\n", (int)getpid(), name, what, value);
  fclose(file);
}

/* Whether the plan has this action for the function, and with which number. */
static int planned(const char *name, const char *action, unsigned long *value) {
  const char *path = getenv("KLEIDI_FAULT_PLAN");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[256], function[64], verb[16], number[32];
  int found = 0, row = 0;
  if (!file) return 0;
  while (!found && fgets(line, sizeof line, file) && row < 64) {
    int times = -1;
    int fields = sscanf(line, "%63s %15s %31s %d", function, verb, number, &times);
    if (fields >= 3 && !strcmp(function, name) && !strcmp(verb, action) &&
        (times < 0 || used[row] < times)) {
      *value = strtoul(number, NULL, 0);
      used[row]++;
      found = 1;
    }
    row++;
  }
  fclose(file);
  return found;
}

static CK_RV fault(const char *name) {
  unsigned long value = 0;
  if (planned(name, "exit", &value)) _exit((int)value);
  if (planned(name, "hang", &value)) for (;;) pause();
  if (planned(name, "delay", &value)) usleep(value * 1000);
  if (planned(name, "fail", &value)) return value;
  return CKR_OK;
}

#define WRAP(name, parameters, arguments)  \
  static CK_RV my_##name parameters {      \
    CK_RV rv = fault(#name);               \
    if (rv == CKR_OK) rv = real->name arguments; \
    trace(#name, "rv", rv);                \
    return rv;                             \
  }

WRAP(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE u, CK_UTF8CHAR_PTR p, CK_ULONG n), (s, u, p, n))
WRAP(C_FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG m, CK_ULONG_PTR n), (s, o, m, n))
WRAP(C_CopyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR c), (s, o, t, n, c))
WRAP(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k))
WRAP(C_Encrypt, (CK_SESSION_HANDLE s, CK_BYTE_PTR d, CK_ULONG n, CK_BYTE_PTR o, CK_ULONG_PTR l), (s, d, n, o, l))
WRAP(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k))
WRAP(C_Decrypt, (CK_SESSION_HANDLE s, CK_BYTE_PTR d, CK_ULONG n, CK_BYTE_PTR o, CK_ULONG_PTR l), (s, d, n, o, l))

static CK_RV my_C_Initialize(CK_VOID_PTR arguments) {
  CK_C_INITIALIZE_ARGS_PTR given = arguments;
  CK_RV rv = fault("C_Initialize");
  trace("C_Initialize", "flags", given ? given->flags : 0);
  return rv == CKR_OK ? real->C_Initialize(arguments) : rv;
}

static CK_RV my_C_GetInfo(CK_INFO_PTR info) {
  unsigned long ignored;
  CK_RV rv = real->C_GetInfo(info);
  if (rv == CKR_OK && planned("C_GetInfo", "rename", &ignored)) {
    memset(info->manufacturerID, ' ', sizeof info->manufacturerID);
    memcpy(info->manufacturerID, "ACME", 4);
  }
  return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  void *library = dlopen(getenv("KLEIDI_FAULT_REAL"), RTLD_NOW);
  CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
  CK_RV rv = get ? get(&real) : CKR_GENERAL_ERROR;
  if (rv != CKR_OK) return rv;
  mine = *real;
  mine.C_Initialize = my_C_Initialize;
  mine.C_GetInfo = my_C_GetInfo;
  mine.C_Login = my_C_Login;
  mine.C_FindObjects = my_C_FindObjects;
  mine.C_CopyObject = my_C_CopyObject;
  mine.C_EncryptInit = my_C_EncryptInit;
  mine.C_Encrypt = my_C_Encrypt;
  mine.C_DecryptInit = my_C_DecryptInit;
  mine.C_Decrypt = my_C_Decrypt;
  *list = &mine;
  return CKR_OK;
}
