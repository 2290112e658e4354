# Shared by the scripts of both formats; the build puts it in front of each.
# Rules: plain POSIX sh, no step may leave the package half installed (only a
# refused removal fails), nothing of a running API server is touched.
root=
# shellcheck disable=SC2034
marker=$root/run/kleidi.install

say() { printf 'kleidi: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
booted() { [ -d "$root/run/systemd/system" ]; }

# try COMMAND...: a failure is told, and goes no further.
try() { "$@" || say "warning: '$*' failed with exit status $?"; }

# Debian's way of forbidding package scripts to start anything.
may_start() {
  [ ! -x "$root/usr/sbin/policy-rc.d" ] || "$root/usr/sbin/policy-rc.d" kleidi start >/dev/null 2>&1
}

update_catalog() {
  if have journalctl; then try journalctl --update-catalog; fi
}
