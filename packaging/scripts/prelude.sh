# Shared by the scripts of both formats; the build puts it in front of each.
# Rules: plain POSIX sh, no step may leave the package half installed (only a refused
# removal fails, and an installation that cannot write), nothing of a running API
# server is touched, and each step can be killed and done again.
root=
# There from before the files are laid down until the first installation is done, and
# from before a removal stops anything until a purge (rpm: the erase). Where it is,
# whatever runs next does the whole first installation; each step can be done again.
# What the host shows could not tell: units that are disabled may be so by the
# operator. A note of what is done would be missing after an upgrade from a package
# that had none. In /run it was lost by a reboot, in /var/lib/kleidi by whoever makes
# that anew; dpkg's own word (an empty version) comes for the very first time alone.
unfinished=$root/var/lib/kleidi.unfinished
# There from an installation in an image until the first boot has provisioned. Not the
# note above: a boot ends no installation, and brings back no unit that is disabled.
# shellcheck disable=SC2034
first_boot=$root/var/lib/kleidi.first-boot
# What the preset enables.
# shellcheck disable=SC2034
our_units='kleidi.socket kleidi.service kleidi-first-boot.service'
# What the operator alone enables.
# shellcheck disable=SC2034
metrics_units='kleidi-metrics.socket kleidi-metrics.service'

# An upgrade by rpm has laid its files down, and the service is not restarted yet.
# shellcheck disable=SC2034
upgraded=$root/run/kleidi.upgraded

say() { printf 'kleidi: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Is this the root of a running systemd? A chroot may see /run of the host that builds
# it: then PID 1 has another root (`systemd-detect-virt --chroot` compares the same), is
# no systemd (a PID namespace), or there is no /proc. Where the link cannot be followed,
# nothing is known of it. SYSTEMD_OFFLINE=1 is systemd's own word for an image: so
# says who makes one on a booted host.
booted() {
  first=
  [ "${SYSTEMD_OFFLINE:-0}" = 0 ] || return 1
  [ -d "$root/run/systemd/system" ] || return 1
  { IFS= read -r first <"$root/proc/1/comm"; } 2>/dev/null || return 1
  [ "$first" = systemd ] || return 1
  # shellcheck disable=SC3013 # dash, bash and busybox have -ef
  [ ! -e "$root/proc/1/root/" ] || [ "$root/proc/1/root" -ef "${root:-/}" ]
}

# No word to the systemd of the host that builds an image.
if ! booted; then export SYSTEMD_OFFLINE=1; fi

# try COMMAND...: a failure is told, and goes no further.
try() { "$@" || say "warning: '$*' failed with exit status $?"; }

is_unfinished() { [ -e "$unfinished" ]; }

note_unfinished() {
  mkdir -p "${unfinished%/*}"
  echo 'kleidi is not set up to its end: dpkg --configure kleidi, or install the rpm again (rpm -U --replacepkgs)' >"$unfinished"
}

restart_upgraded() {
  if ! booted; then return; fi
  try systemctl daemon-reload
  if may_start; then try systemctl try-restart kleidi.service; fi
}

# Debian's way of forbidding package scripts to start anything.
may_start() {
  [ ! -x "$root/usr/sbin/policy-rc.d" ] || "$root/usr/sbin/policy-rc.d" kleidi start >/dev/null 2>&1
}

update_catalog() {
  if have journalctl; then try journalctl --update-catalog; fi
}
