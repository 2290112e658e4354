// Where no terminal can ask, a request or a recovery key whose fingerprint was not
// named is refused, and nothing is changed: it could be anybody's.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createFor,
  everythingOf,
  makeRecovery,
  recoveryBundles,
  requestOf,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { kleidi, type Result } from '../support/kleidi.ts';
import { passphrase } from '../support/recoveryset.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const named = `${recovery.pub}=${recovery.sha256}`;
const [maker, asker] = [await TestHost.provisioned(), await tokenOnlyHost()];
const request = await requestOf(asker);
let files = 0;

function requireRefused({ exitCode, stdout, stderr }: Result, ...shown: string[]): void {
  assert.equal(exitCode, 1, stdout);
  assert.equal(stdout, '');
  assert.match(stderr, /there is no terminal to ask for confirmation: .*; nothing was changed/);
  for (const fingerprint of shown) assert.ok(stderr.includes(`sha256:${fingerprint}`), stderr);
  assert.match(stderr, /kleidi: hint: .*FILE=SHA256/);
}

async function refused(host: TestHost, shown: readonly string[], ...args: string[]): Promise<void> {
  const before = await everythingOf(host);
  requireRefused(await host.run(...args), ...shown);
  assert.deepEqual(await everythingOf(host), before);
}

test('key create: a request, a first recovery key, and both', async () => {
  const out = join(folder, 'never');
  const create = ['key', 'create', '--out', out];
  const { sha256 } = recovery;
  await refused(maker, [request.sha256], ...create, '--for', request.path);
  await refused(maker, [sha256], ...create, '--recovery', recovery.pub);
  const both = ['--for', request.path, '--recovery', recovery.pub];
  await refused(maker, [request.sha256, sha256], ...create, ...both);
  await refused(maker, [sha256], ...create, '--for', request.named, '--recovery', recovery.pub);
  await refused(maker, [request.sha256], ...create, '--for', request.path, '--recovery', named);
  assert.ok(!existsSync(out));
});

test('provision: a bare host stays bare', async () => {
  const host = new TestHost();
  const before = readdirSync(host.folder, { recursive: true });
  for (const more of [[], ['--token-only']]) {
    const args = ['provision', '--recovery', recovery.pub, ...more];
    requireRefused(await host.run(...args), recovery.sha256);
    assert.deepEqual(readdirSync(host.folder, { recursive: true }), before);
  }
  assert.equal((await host.run('provision', '--recovery', named)).exitCode, 0);
});

test('provision of a host that is provisioned: its PIN is wrapped for nobody', async () => {
  await refused(maker, [recovery.sha256], 'provision', '--recovery', recovery.pub);
  assert.ok(!existsSync(join(maker.folder, 'state/pin.recovery.json')));
});

test('recovery rewrap: no bundle for a request that nobody has compared', async () => {
  const host = await tokenOnlyHost();
  await createFor(host, [], recovery);
  const out = join(folder, `rewrapped-${files++}`);
  const rewrap = ['recovery', 'rewrap', ...recoveryBundles(host), '--key', recovery.key];
  const more = ['--out', out, '--passphrase-fd', '0'];
  const asked = await kleidi([...rewrap, '--for', request.path, ...more], { input: passphrase });
  requireRefused(asked, request.sha256);
  assert.ok(!existsSync(out));
});

test('the recovery key that the ring has pinned needs no more confirmation', async () => {
  const host = await tokenOnlyHost();
  await createFor(host, [], recovery);
  for (const args of [
    ['key', 'create', '--recovery', recovery.pub],
    ['provision', '--recovery', recovery.pub],
  ]) {
    const { exitCode, stderr } = await host.run(...args);
    assert.equal(exitCode, 0, stderr);
  }
  assert.equal(host.ring.keks.length, 2);
});
