// A booted host with a TPM: swtpm, and tpm2-abrmd as the resource manager that a kernel
// would be (a bare swtpm has room for three sessions, and systemd leaves some behind). It is
// its own as a chip is: it stays when the host's disk is copied.
import { readFileSync } from 'node:fs';
import { buildImage } from './image.ts';
import { bareHost, packageFile } from './installed.ts';
import type { Suite, SystemHost } from './systemhost.ts';

/** tpm2-tools brings what systemd loads. */
const packages: Readonly<Record<Suite, string>> = {
  bookworm:
    'swtpm tpm2-abrmd tpm2-tools libtss2-tcti-swtpm0 libtss2-tcti-tabrmd0 libtpm2-pkcs11-1 libtpm2-pkcs11-tools',
  trixie:
    "swtpm tpm2-abrmd tpm2-tools libtss2-tcti-swtpm0t64 libtss2-tcti-tabrmd0 '^libtpm2-pkcs11-1(t64)?$' libtpm2-pkcs11-tools",
};
const device = 'tabrmd:bus_name=com.intel.tss2.Tabrmd';

const swtpmUnit = `[Unit]
DefaultDependencies=no
[Service]
ExecStartPre=/bin/mkdir -p /var/lib/chip
# Sockets of the one before would let the manager come too early.
ExecStartPre=/bin/rm -f /run/swtpm.sock /run/swtpm.sock.ctrl
ExecStart=/usr/bin/swtpm socket --tpm2 --tpmstate dir=/var/lib/chip --server type=unixio,path=/run/swtpm.sock --ctrl type=unixio,path=/run/swtpm.sock.ctrl --flags startup-clear,not-need-init
[Install]
WantedBy=multi-user.target
`;

// Before kleidi, as the device of a kernel is there before services.
const managerUnit = `[Unit]
After=swtpm.service dbus.service
Requires=swtpm.service
Before=kleidi.service kleidi-prepare.service
[Service]
Type=dbus
BusName=com.intel.tss2.Tabrmd
ExecStartPre=/bin/sh -c 'until [ -S /run/swtpm.sock ] && [ -S /run/swtpm.sock.ctrl ]; do sleep 0.05; done'
ExecStart=/usr/sbin/tpm2-abrmd --tcti=swtpm:path=/run/swtpm.sock --allow-root
[Install]
WantedBy=multi-user.target
`;

/** It lets root and tss in; the daemon is in tss by its drop-in, which a bus does not look at. */
const busPolicy = `<busconfig>
  <policy context="default">
    <allow send_destination="com.intel.tss2.Tabrmd"/>
    <allow receive_sender="com.intel.tss2.Tabrmd"/>
  </policy>
</busconfig>
`;

/** @returns a layer over the base tree with what a TPM takes */
export function tpmImage(suite: Suite): string {
  // The layer is made beside the folder of the packages.
  packageFile('deb');
  const names = readFileSync('/etc/resolv.conf', 'utf8');
  return buildImage(
    `tpm-${suite}`,
    suite,
    `export DEBIAN_FRONTEND=noninteractive
    printf %s '${names}' > /etc/resolv.conf
    printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
    apt-get update -qq && apt-get install -qq -y --no-install-recommends ${packages[suite]}
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/sbin/policy-rc.d; : > /etc/resolv.conf`,
  );
}

/** For commands that root runs there, as its systemd has it. */
export const withTpm = `export SYSTEMD_TPM2_DEVICE=${device}; `;

/** Booted; kleidi's package is at hand, and not installed. */
export async function tpmHost(suite: Suite, image: string): Promise<SystemHost> {
  const host = await bareHost({ suite, image, env: [`SYSTEMD_TPM2_DEVICE=${device}`] });
  host.write('/etc/systemd/system/swtpm.service', swtpmUnit);
  host.write('/etc/systemd/system/tpm2-abrmd.service', managerUnit);
  host.write('/etc/dbus-1/system.d/kleidi-test.conf', busPolicy);
  host.sh('systemctl daemon-reload && systemctl enable --now swtpm tpm2-abrmd');
  return host;
}

/** What a new board has: a TPM that knows nothing. */
export function replaceTpm(host: SystemHost): void {
  host.sh(`systemctl stop tpm2-abrmd swtpm; rm -r /var/lib/chip; systemctl start swtpm tpm2-abrmd`);
}
