// A token that another user owns than the daemon's, as the package sets it up:
// commands write it as its owner, the daemon reads it by its group.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { KmsClient } from '../support/client.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { missingTool, skipReason } from '../support/skip.ts';

const owner = 65_533;
/** User and group of the daemon. */
const daemonId = 65_534;
const seed = Buffer.alloc(32, 3);
const skip = process.getuid?.() === 0 ? false : skipReason('needs root, to give files away');

/** As packaging, sysusers and tmpfiles make a host. */
async function sharedHost(): Promise<TestHost> {
  const host = new TestHost();
  mkdirSync(host.tokens, { recursive: true });
  for (const [path, uid, gid, mode] of [
    [host.folder, 0, 0, 0o777],
    [dirname(host.tokens), 0, daemonId, 0o750],
    [host.tokens, owner, daemonId, 0o750],
    [join(host.folder, 'run'), daemonId, daemonId, 0o770],
  ] as const) {
    chownSync(path, uid, gid);
    chmodSync(path, mode);
  }
  chmodSync(host.configPath, 0o644);
  const { exitCode, stderr } = await host.run('provision', '--ring', 'test');
  assert.equal(exitCode, 0, stderr);
  return host;
}

function modes(path: string): string {
  const { uid, gid, mode } = lstatSync(path);
  return `${uid}:${gid} ${(mode & 0o777).toString(8)}`;
}

function requireShared(host: TestHost): void {
  const entries = readdirSync(host.tokens, { recursive: true, withFileTypes: true });
  assert.ok(entries.length > 3);
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    assert.equal(modes(path), `${owner}:${daemonId} ${entry.isDirectory() ? 750 : 640}`, path);
  }
}

async function createKek(host: TestHost): Promise<string> {
  const { exitCode, stdout, stderr } = await host.run('key', 'create', '--json');
  assert.equal(exitCode, 0, stderr);
  return (JSON.parse(stdout) as { fp: string }).fp;
}

test("provision: the token is its owner's, ring and PIN are root's, the daemon's group reads all", {
  skip,
}, async () => {
  const host = await sharedHost();
  requireShared(host);
  assert.equal(modes(host.ringPath), `0:${daemonId} 640`);
  assert.equal(modes(host.pinPath), `0:${daemonId} 440`);
  const { exitCode, stdout } = await host.run(
    ...['doctor', '--only', 'credential', '--only', 'token', '--only', 'ring'],
  );
  assert.equal(exitCode, 0, stdout);
});

test('the daemon serves, takes up a new KEK, and can change nothing', { skip }, async () => {
  const host = await sharedHost();
  const daemon = await host.superviseServe({ asUser: daemonId });
  const client = new KmsClient(host.socket);
  const old = await client.encrypt(seed);
  const fp = await createKek(host);
  requireShared(host);
  const { exitCode, stderr } = await host.run('key', 'promote', fp);
  assert.equal(exitCode, 0, stderr);
  const keyId = `k1.test.2.${fp}`;
  while ((await client.status()).keyId !== keyId);
  assert.deepEqual(await client.decrypt(old.ciphertext, old.keyId), seed);
  assert.equal((await client.encrypt(seed)).keyId, keyId);
  const change = `find ${host.tokens} -writable; touch ${host.tokens}/x`;
  const tried = spawnSync('sh', ['-c', change], {
    uid: daemonId,
    gid: daemonId,
    encoding: 'utf8',
  });
  assert.equal(tried.stdout, '');
  assert.notEqual(tried.status, 0);
  client.close();
  await daemon.stop();
});

test('a PIN that a command was refused with is known to the daemon, and the other way round', {
  skip: skip === false ? missingTool('cc') : skip,
}, async () => {
  const host = await sharedHost();
  const faults = new FaultModule();
  chmodSync(dirname(faults.path), 0o777);
  host.configure({ pkcs11: { module: faults.path } });
  faults.plan('C_GetInfo rename ACME');
  const [run, wrong] = [join(host.folder, 'run'), 'not-the-pin'];
  writeFileSync(host.pinPath, wrong);
  const list = () => host.runWith({ env: faults.env }, 'key', 'list');
  assert.equal((await list()).exitCode, 1);
  assert.equal(modes(join(run, 'refused-pin')), `${owner}:${daemonId} 640`);
  // As the daemon writes it: what it can read, under its own name.
  const rewrite = `cd ${run} && mv refused-pin x && cat x >refused-pin && chmod 640 refused-pin`;
  execFileSync('sh', ['-c', rewrite], { uid: daemonId, gid: daemonId });
  assert.equal(await new RefusedPin(run).isRefused(wrong), true);
  assert.match((await list()).stderr, /not tried again/);
  assert.equal(faults.calls('C_Login'), 1);
});

test("doctor finds links, what the group cannot read, and a token of the daemon's own user", {
  skip,
}, async () => {
  const host = await sharedHost();
  const doctor = async () => (await host.run('doctor', '--only', 'token')).stdout;
  const [name = ''] = readdirSync(host.tokens);
  chmodSync(join(host.tokens, name, 'token.object'), 0o600);
  assert.match(
    await doctor(),
    /FAIL {2}the group of .* cannot read 1 of the files in it\n +do: chmod -R g\+rX /,
  );
  requireShared(host);
  for (const link of ['root', 'again'])
    symlinkSync(link === 'root' ? '/' : '.', join(host.tokens, link));
  assert.match(
    await doctor(),
    /FAIL {2}2 in .* are neither files nor folders, such as \S+\n +do: find \S+ ! -type f/,
  );
  for (const link of ['root', 'again']) rmSync(join(host.tokens, link));
  execFileSync('chown', ['-R', `${daemonId}`, host.tokens]);
  assert.match(await doctor(), /warn {2}.* as which the daemon runs.*\n +do: systemd-tmpfiles/);
});
