// The way to a PIN that needs nothing of its host: wrapped for the recovery key at
// provision and at key create, opened on the offline machine.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeRecovery } from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';
import { passphrase } from '../support/recoveryset.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const named = `${recovery.pub}=${recovery.sha256}`;

const partOf = (host: TestHost): string => join(host.folder, 'state/pin.recovery.json');

async function requireOpens(host: TestHost): Promise<void> {
  const out = join(temporaryFolder(), 'pin.clear');
  const args = ['recovery', 'pin', partOf(host), '--key', recovery.key, '--out', out];
  const opened = await kleidi([...args, '--passphrase-fd', '0'], { input: `${passphrase}\n` });
  assert.equal(opened.exitCode, 0, opened.stderr);
  assert.equal(readFileSync(out, 'utf8'), host.pin);
  assert.equal(statSync(out).mode & 0o777, 0o600);
  assert.ok(!`${opened.stdout}${opened.stderr}`.includes(host.pin));
}

test('provision with a recovery key leaves the PIN wrapped for it', async () => {
  const host = new TestHost();
  const { exitCode, stderr } = await host.run('provision', '--recovery', named);
  assert.equal(exitCode, 0, stderr);
  assert.equal(statSync(partOf(host)).mode & 0o777, 0o600);
  await requireOpens(host);
});

test('a host that was provisioned without one gets it by key create, or by provision again', async () => {
  const host = await TestHost.provisioned();
  assert.equal(existsSync(partOf(host)), false);
  const again = await host.run('provision', '--recovery', named);
  assert.equal(again.exitCode, 0);
  // What it did, what it did not, and how the KEK gets one.
  const done = `already provisioned: the PIN of the token is now wrapped for recovery key sha256:${recovery.sha256}; ring and KEKs were not changed`;
  assert.equal(again.stdout.split('\n')[0], done);
  const [kek] = host.ring.keks;
  assert.match(again.stderr, new RegExp(`warning: KEK ${kek?.fp} has no recovery: if the token`));
  assert.match(again.stderr, /only when it is made: kleidi key create --recovery PUB=SHA256, /);
  await requireOpens(host);
  rmSync(partOf(host));
  const { exitCode, stderr } = await host.run('key', 'create', '--recovery', named);
  assert.equal(exitCode, 0, stderr);
  await requireOpens(host);
});

test('the PIN is wrapped for no other recovery key than the one of the ring', async () => {
  const host = new TestHost();
  await host.run('provision', '--recovery', named);
  const [before, other] = [readFileSync(partOf(host)), await makeRecovery(folder, 'other')];
  const { exitCode, stderr } = await host.run('provision', '--recovery', other.pub);
  assert.equal(exitCode, 1);
  assert.match(stderr, /not the recovery key of the ring/);
  assert.deepEqual(readFileSync(partOf(host)), before);
});

test('doctor finds a sealed PIN that only the host key opens', async () => {
  const host = new TestHost();
  await host.run('provision', '--recovery', named);
  host.configure({ pkcs11: { pin: 'credential:pin' } });
  const doctor = async () => (await host.run('doctor', '--only', 'recovery')).stdout;
  assert.doesNotMatch(await doctor(), /PIN/);
  rmSync(partOf(host));
  assert.match(
    await doctor(),
    /warn {2}the PIN .* only the host key.*\n +do: kleidi provision --r/,
  );
});
