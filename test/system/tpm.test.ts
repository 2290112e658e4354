// A PIN that opens on one machine alone, on booted hosts with a simulated TPM 2.0: installed as
// any host is, through restarts, kills and reboots; a copy of the disk in another machine; a
// credential that was changed; PCRs; a new board.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Bound,
  credential,
  doctorOf,
  installBound,
  testLocks,
  testNewBoard,
  testRestarts,
} from '../support/boundpin.ts';
import { clientOf, packageFile } from '../support/installed.ts';
import { isLong } from '../support/long.ts';
import { onHosts, type Suite } from '../support/systemhost.ts';
import { replaceTpm, tpmHost, tpmImage, withTpm } from '../support/tpmhost.ts';
import { testKekIsGone, testTpmKek } from '../support/tpmkeksteps.ts';

async function check(suite: Suite): Promise<void> {
  const image = tpmImage(suite);
  const host = await tpmHost(suite, image);
  const bound: Bound = {
    name: suite,
    machine: host,
    packageFile: packageFile('deb'),
    withTpm,
    tcti: '$SYSTEMD_TPM2_DEVICE',
    kekTcti: 'tabrmd:bus_type=system',
    client: async () => clientOf(host),
    replaceTpm: async () => replaceTpm(host),
  };
  const opens = await installBound(bound);
  testRestarts(bound, opens);

  test(`${suite}: its disk in another machine opens nothing; one that is bound to the disk alone does`, async () => {
    const other = await tpmHost(suite, image);
    const files = 'etc/machine-id etc/kleidi var/lib/kleidi var/lib/systemd/credential.secret';
    other.sh('base64 -d | tar x -C /', { input: host.sh(`tar c -C / ${files} | base64`) });
    const decrypt = `${withTpm}systemd-creds decrypt --name=pin ${credential} - > /dev/null`;
    assert.notEqual(other.try(decrypt).exitCode, 0);
    host.sh(`${withTpm}kleidi pin reseal --config /root/disk.yaml`);
    assert.equal(host.try(`${withTpm}kleidi pin reseal --check`).exitCode, 1);
    other.write(credential, host.read(credential), 0o400);
    assert.equal(other.try(decrypt).exitCode, 0, 'which is what a stolen disk gives without');
    host.sh(`${withTpm}kleidi pin reseal; kleidi pin reseal --check`);
    await other.remove();
  });

  test(`${suite}: another secret is sealed as the PINs are, and no PIN is replaced by it`, () => {
    const sealed = host.sh(`${withTpm}echo s3cret | kleidi credential seal vault-secret-id`);
    assert.match(sealed, /vault-secret-id.cred: sealed to this machine's disk and TPM/);
    const path = '/etc/kleidi/credentials/vault-secret-id.cred';
    const open = `${withTpm}systemd-creds decrypt --name=vault-secret-id ${path} -`;
    assert.equal(host.sh(open), 's3cret');
    assert.equal(host.sh(`stat -c '%U %a' ${path}; rm ${path}`), 'root 400');
    const before = host.read(credential);
    const refused = host.try(`${withTpm}echo 1234 | kleidi credential seal pin`);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /is a PIN of the token; nothing was changed\n.*kleidi pin set/);
    assert.equal(host.read(credential), before);
  });

  testLocks(bound, opens);
  // Of the bus that leads to tpm2-abrmd; a device needs nothing more.
  testTpmKek(bound, 'BindReadOnlyPaths=/run/dbus/system_bus_socket');
  testNewBoard(bound, opens);
  testKekIsGone(bound);

  test(`${suite}: a TPM that systemd cannot use: sealed to the disk, said so, and bound later`, async () => {
    const { stderr: said } = host.try(`${withTpm}kleidi pin reseal --config /root/disk.yaml`);
    assert.match(said, /the SO PIN stays as it is: .* bound to the TPM/, 'that of the old board');
    const without = 'export SYSTEMD_TPM2_DEVICE=swtpm:path=/nowhere; kleidi pin reseal';
    const { exitCode, stdout, stderr } = host.try(without);
    assert.equal(exitCode, 0, stderr);
    assert.match(
      stderr,
      /cannot seal the credential 'pin' to the TPM .*; it is sealed to this machine's disk alone/,
    );
    assert.match(stdout, /^PIN: sealed to this machine's disk \(as before\)/m);
    assert.match(doctorOf(bound), /disk alone: whoever has the whole disk.*\n.*kleidi pin reseal/);
    const rebound = host.sh(`${withTpm}kleidi pin reseal`);
    assert.match(
      rebound,
      /^PIN: sealed to this machine's disk and TPM \(before: this machine's disk\)/m,
    );
    await opens();
  });
}

// systemd 252 and 257 differ in what they ask of a TPM.
await onHosts(async () => {
  for (const suite of isLong ? (['bookworm', 'trixie'] as const) : (['bookworm'] as const)) {
    await check(suite);
  }
});
