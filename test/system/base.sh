#!/bin/sh
# Makes the tree that test hosts boot from: Debian minbase and what a control
# plane host has. Done once for each suite and each version of this file.
#   base.sh SUITE FOLDER     SUITE: bookworm (systemd 252) or trixie (257)
set -eu
suite=$1
base=$2

mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\).*/\2/p' \
  /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
making="$base.making"
rm -rf "$making"
mkdir -p "$making"
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,ca-certificates \
  "$suite" "$making" "$mirror" >"$base.log" 2>&1 || { tail -n 20 "$base.log" >&2; exit 1; }

trap 'umount "$making/proc" 2>/dev/null || :' EXIT
mount -t proc proc "$making/proc"
for settings in /etc/apt/apt.conf.d/*proxy* /etc/apt/apt.conf; do
  if [ -e "$settings" ]; then cp "$settings" "$making/etc/apt/apt.conf.d/"; fi
done
cp /etc/resolv.conf "$making/etc/resolv.conf" 2>/dev/null || :
printf '#!/bin/sh\nexit 101\n' >"$making/usr/sbin/policy-rc.d" # no daemons in the chroot
chmod 755 "$making/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
chroot "$making" apt-get update -qq >>"$base.log" 2>&1
chroot "$making" apt-get install -y -qq --no-install-recommends \
  openssh-server python3-minimal python3-apt sudo procps rpm strace \
  softhsm2 libsofthsm2 libstdc++6 libsystemd0 >>"$base.log" 2>&1 || { tail -n 20 "$base.log" >&2; exit 1; }
chroot "$making" apt-get clean
rm -rf "$making"/var/lib/apt/lists/* "$making/usr/sbin/policy-rc.d" "$making/etc/hostname"

# Each host makes its own identity at its first boot.
rm -f "$making/var/lib/dbus/machine-id"
: >"$making/etc/machine-id"
: >"$making/etc/resolv.conf"
for unit in systemd-resolved systemd-networkd apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service systemd-pstore.service \
  systemd-networkd-wait-online.service man-db.timer; do
  chroot "$making" systemctl mask -q "$unit" 2>/dev/null || :
done
mkdir -p "$making/var/log/journal"

# systemd-nspawn mounts the v1 controllers read-only, and MemoryMax= and
# TasksMax= would be ignored: the first process makes its own part writable.
cat >"$making/rig-init" <<'INIT'
#!/bin/sh
for controller in memory pids cpu cpuacct blkio; do
  mount -o remount,bind,rw "/sys/fs/cgroup/$controller" 2>/dev/null
done
exec /lib/systemd/systemd
INIT
chmod 755 "$making/rig-init"
umount "$making/proc"
rm -rf "$base"
mv "$making" "$base"
