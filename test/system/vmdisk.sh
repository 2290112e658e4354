#!/bin/sh
# Makes what a virtual machine boots from, out of the base tree of a suite: a kernel, its
# initial ram disk, a disk, and the key of the ssh client that root is asked by. Done once
# for each base tree and each version of this file.
#   vmdisk.sh BASE FOLDER
set -eu
base=$1
made=$2
making="$made.making"
umount "$making/root/proc" "$making/root" 2>/dev/null || :
rm -rf "$making"
mkdir -p "$making/upper" "$making/work" "$making/root"
root="$making/root"
mount -t overlay vm "$root" -o "lowerdir=$base,upperdir=$making/upper,workdir=$making/work"
trap 'umount "$root/proc" "$root" 2>/dev/null || :' EXIT
mount -t proc proc "$root/proc"

cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update -qq
# tpm2-tools brings what systemd loads for a TPM.
chroot "$root" apt-get install -y -qq --no-install-recommends \
  linux-image-amd64 initramfs-tools udev tpm2-tools libtss2-tcti-device0 \
  libtpm2-pkcs11-1 libtpm2-pkcs11-tools
rm -rf "$root/usr/sbin/policy-rc.d" "$root/rig-init" "$root"/var/lib/apt/lists/*
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
echo kleidi-vm >"$root/etc/hostname"

# The user network of QEMU; ssh comes in through a port of this machine.
cat >"$root/etc/systemd/system/network-of-vm.service" <<'UNIT'
[Unit]
Before=ssh.service
[Service]
Type=oneshot
# The kernel may find the card later than systemd has come this far.
ExecStartPre=/bin/sh -c 'until ls -d /sys/class/net/e*; do sleep 0.1; done'
ExecStart=/bin/sh -c 'cd /sys/class/net; for link in e*; do ip address add 10.0.2.15/24 dev "$$link"; ip link set "$$link" up; done'
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable -q network-of-vm.service ssh.service
ssh-keygen -q -t ed25519 -N '' -C kleidi-vm -f "$making/key"
install -d -m 0700 "$root/root/.ssh"
install -m 0600 "$making/key.pub" "$root/root/.ssh/authorized_keys"

cp "$root"/boot/vmlinuz-* "$making/vmlinuz"
cp "$root"/boot/initrd.img-* "$making/initrd"
umount "$root/proc"
truncate -s 3G "$making/disk.img"
mke2fs -q -t ext4 -d "$root" "$making/disk.img"
umount "$root"
trap - EXIT
rm -rf "$making/upper" "$making/work" "$root"
rm -rf "$made"
mv "$making" "$made"
