// A PIN that opens on one machine alone, on booted hosts with a simulated TPM 2.0: installed as
// any host is, through restarts, kills and reboots; a copy of the disk in another machine; a
// credential that was changed; PCRs; a new board.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, packageFile } from '../support/installed.ts';
import { isLong } from '../support/long.ts';
import { onHosts, type Suite, type SystemHost } from '../support/systemhost.ts';
import { replaceTpm, tpmHost, tpmImage, withTpm } from '../support/tpmhost.ts';

const seed = Buffer.alloc(32, 7);
const credential = '/etc/kleidi/credentials/pin.cred';
const passphrase = 'a recovery passphrase of more than enough words';
/** For debuggers, and so for tests: it can be set back. */
const pcr = 16;
const closed = /bound to the TPM of the machine that sealed it/;

const doctor = (host: SystemHost): string =>
  host.try(`${withTpm}kleidi doctor --only credential`).stdout;
const extend = (host: SystemHost): string =>
  host.sh(`${withTpm}tpm2_pcrextend -T $SYSTEMD_TPM2_DEVICE ${pcr}:sha256=${'5a'.repeat(32)}`);
const reset = (host: SystemHost): string =>
  host.sh(`${withTpm}tpm2_pcrreset -T $SYSTEMD_TPM2_DEVICE ${pcr}`);

/** The unit does not start, and says in the journal what it may be. */
async function refusesToStart(host: SystemHost): Promise<void> {
  host.sh(
    'journalctl --rotate -q; journalctl --vacuum-time=1s -q; systemctl restart --no-block kleidi',
  );
  await host.until(`journalctl -u kleidi -b -o cat | grep -q "${closed.source}"`);
  assert.match(host.journal(), /lost TPM/);
}

async function sealedBy(host: SystemHost) {
  const client = clientOf(host);
  const sealed = await client.encrypt(seed);
  client.close();
  return sealed;
}

async function check(suite: Suite): Promise<void> {
  const image = tpmImage(suite);
  const host = await tpmHost(suite, image);
  host.sh(`${withTpm} dpkg -i ${packageFile('deb')}`);
  await host.until('kleidi status');
  host.sh(`cd /root && echo ${passphrase} | kleidi recovery create --out recovery --passphrase-fd 0 > sha256
    printf 'pkcs11: { pinBinding: host }\n' > disk.yaml
    ${withTpm} kleidi provision --recovery recovery.pub=$(cat sha256)`);
  const { ciphertext, keyId } = await sealedBy(host);

  async function opens(): Promise<void> {
    await host.until('kleidi status');
    const client = clientOf(host);
    assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
    client.close();
  }

  test(`${suite}: where there is a TPM a new host has its PIN in it, through restarts, kills and a reboot`, async () => {
    assert.match(
      doctor(host),
      /bound to the TPM of this machine: a copy of its disk does not open/,
    );
    host.sh('systemctl restart kleidi');
    await opens();
    host.sh('systemctl kill -s KILL kleidi');
    await opens();
    await host.stop();
    await host.start();
    await opens();
  });

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

  test(`${suite}: a credential that was changed: what systemd says, and what before-start adds`, async () => {
    host.sh(
      `cp ${credential} /root/kept.cred; sed -i '3s/./A/5' ${credential}; cmp -s ${credential} /root/kept.cred && exit 1 || :`,
    );
    await refusesToStart(host);
    assert.match(doctor(host), closed);
    host.sh(`cp /root/kept.cred ${credential}`);
    await opens();
  });

  test(`${suite}: bound to a PCR: its change locks the PIN, its old value opens it, reseal lets go of it`, async () => {
    const configured = host.read('/etc/kleidi/kleidi.yaml');
    extend(host);
    host.write('/etc/kleidi/kleidi.yaml', `${configured}\npkcs11: { pinPcrs: [${pcr}] }\n`);
    const resealed = JSON.parse(host.sh(`${withTpm}kleidi pin reseal --json`)) as object;
    const both = { before: 'host+tpm2', after: 'host+tpm2' };
    assert.deepEqual(resealed, { pin: both, soPin: both });
    host.sh('systemctl restart kleidi');
    await opens();

    extend(host);
    await refusesToStart(host);
    const refused = host.try(`${withTpm}kleidi pin reseal`);
    assert.equal(refused.exitCode, 78);
    assert.match(refused.stderr, closed);

    reset(host);
    extend(host);
    host.write('/etc/kleidi/kleidi.yaml', configured);
    host.sh(`${withTpm}kleidi pin reseal`);
    extend(host);
    host.sh('systemctl restart kleidi');
    await opens();
  });

  test(`${suite}: a new board: the recovery key opens the PIN, and the same token serves on`, async () => {
    replaceTpm(host);
    await refusesToStart(host);
    assert.match(doctor(host), closed);
    host.sh(`cd /root; echo ${passphrase} | kleidi recovery pin /var/lib/kleidi/pin.recovery.json --key recovery.key --out pin.clear --passphrase-fd 0
      ${withTpm} kleidi pin set --recovery recovery.pub=$(cat sha256) < pin.clear && shred -u pin.clear`);
    await opens();
    assert.match(doctor(host), /bound to the TPM of this machine/);
  });

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
    assert.match(doctor(host), /disk alone: whoever has the whole disk.*\n.*kleidi pin reseal/);
    const bound = host.sh(`${withTpm}kleidi pin reseal`);
    assert.match(
      bound,
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
