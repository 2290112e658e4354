#!/bin/sh
# kleidi on the Node that comes with it. The caller's settings of Node, OpenSSL and
# the dynamic linker stay out: one of them turns TLS verification off, others load
# code. No core is written: it would hold a PIN or a key.
for name in $(env | sed -n 's/^\(\(NODE\|SSL_CERT\|OPENSSL\|LD\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
  unset "$name"
done
# shellcheck disable=SC3045 # dash, bash and busybox have it
ulimit -c 0
# For a core_pattern that is a pipe, which the limit does not stop.
{ echo 0 >/proc/self/coredump_filter; } 2>/dev/null || :
exec /usr/lib/kleidi/bin/node /usr/lib/kleidi/kleidi.js "$@"
