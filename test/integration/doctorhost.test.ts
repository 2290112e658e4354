// kleidi doctor about what is around the token: socket, daemon, API server,
// recovery, owners, systemd, Vault.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import { promote, stage } from '../../src/keyring/transitions.ts';
import {
  copy,
  diagnose,
  enable,
  encryptionConfiguration,
  type Finding,
  found,
  intact,
} from '../support/diagnosis.ts';
import { TestHost } from '../support/host.ts';
import { skipReason } from '../support/skip.ts';

test('socket: none, not a socket, open to others, nobody behind it, not serving', async () => {
  const host = copy();
  const fault = async (what: RegExp, todo: RegExp): Promise<void> =>
    found((await diagnose(host, 'socket')).findings, 'fail', what, todo);
  await fault(/no socket at/, /enable --now kleidi\.socket/);
  writeFileSync(host.socket, '');
  await fault(/not a socket/, /./);
  rmSync(host.socket);

  const daemon = await host.serve();
  chmodSync(host.socket, 0o666);
  await fault(/others could change/, /chmod 0660/);
  chmodSync(host.socket, 0o660);
  daemon.signal('SIGKILL');
  await daemon.ended;
  await fault(/no kleidi daemon listens/, /systemctl status kleidi/);

  rmSync(host.ringPath);
  const again = await host.serve();
  await fault(/does not serve: the ring file is missing/, /systemctl status/);
  await again.stop();
});

test('apiserver: the file is open to others, names another socket, or is not what it should be', async () => {
  const host = copy();
  found(
    (await diagnose(host, 'apiserver')).findings,
    'warn',
    /does not use kleidi yet/,
    /apiserver plan/,
  );
  const path = enable(host);
  assert.equal((await diagnose(host, 'apiserver')).exitCode, 0);
  chmodSync(path, 0o644);
  found((await diagnose(host, 'apiserver')).findings, 'fail', /others could read/, /chmod 0600/);
  chmodSync(path, 0o600);
  enable(host, encryptionConfiguration(`unix:${host.socket}`));
  assert.equal((await diagnose(host, 'apiserver')).exitCode, 0, 'unix:/path is the same socket');
  const broken: readonly [string, RegExp][] = [
    [encryptionConfiguration('unix:///run/other.sock'), /no provider in it has the endpoint/],
    [encryptionConfiguration(`unix://${host.socket}`, ', cachesize: 100'), /cachesize/],
    [encryptionConfiguration(`unix://${host.socket}`).replace('v2', 'v1'), /not apiVersion: v2/],
    [encryptionConfiguration(`unix://${host.socket}`, ', timeOut: 3s'), /timeOut: unknown field/],
    ['kind: Secret', /not an EncryptionConfiguration/],
    ['{', /not an EncryptionConfiguration/],
  ];
  for (const [text, what] of broken) {
    enable(host, text);
    found((await diagnose(host, 'apiserver')).findings, 'fail', what, /apiserver plan|fix it/);
  }
});

test('recovery: a KEK without one, a bundle that is gone', async () => {
  const host = copy();
  rmSync(join(host.folder, 'state/bundles'), { recursive: true });
  found((await diagnose(host, 'recovery')).findings, 'warn', /bundle of KEK .* is missing/, /copy/);
  const ring = readFileSync(host.ringPath, 'utf8');
  writeFileSync(host.ringPath, ring.replace(/"recovery": "[0-9a-f]+"/, '"recovery": null'));
  const { exitCode, findings } = await diagnose(host, 'recovery');
  found(findings, 'warn', /\(write\) has no recovery/, /--recovery/);
  assert.equal(exitCode, 0, 'a warning is no failure');
});

const root = process.getuid?.() === 0;

test('files that the daemon, which is another user than root, cannot read', {
  skip: root ? false : skipReason('needs root, to give files away'),
}, async () => {
  const host = copy();
  chownSync(host.tokens, 65_534, 65_534);
  const { findings } = await diagnose(host, 'credential', 'token', 'ring');
  found(findings, 'fail', /the daemon \(uid 65534\) cannot read .*\/pin$/, /^chown 65534:65534/);
  found(findings, 'fail', /files in .* do not belong to uid 65534/, /^chown -R/);
  found(findings, 'fail', /\(uid 65534\) cannot read .*ring\.json/, /^chgrp 65534/);
});

test('an unknown group is wrong use, and names the groups', async () => {
  const { exitCode, stderr } = await intact.run('doctor', '--only', 'frob');
  assert.equal(exitCode, 2);
  assert.match(stderr, /configuration, credential/);
});

test('without systemd the other groups are still looked at', async () => {
  const { exitCode, stdout } = await intact.runWith(
    { env: { PATH: '/nonexistent' } },
    'doctor',
    '--only',
    'unit',
    '--only',
    'host',
    '--json',
  );
  assert.equal(exitCode, 0);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  found(findings, 'warn', /systemd does not run here/, /./);
  found(findings, 'warn', /systemd is not installed/, /serve --socket/);
});

test('a host whose KEKs are in Vault needs neither token nor PIN', async () => {
  const host = new TestHost({ vault: { address: ['https://vault.example:8200'] } });
  mkdirSync(dirname(host.ringPath));
  const kek = {
    fp: 'ab'.repeat(16),
    check: 'cd'.repeat(16),
    provider: 'vault',
    recovery: null,
    created: new Date().toISOString(),
  };
  const staged = stage(emptyRing('test'), { ...kek, provider: 'vault' }, '5e'.repeat(16));
  const ring = promote(staged, kek.fp, 1);
  writeFileSync(host.ringPath, formatRing(ring), { mode: 0o640 });
  const { exitCode, findings } = await diagnose(host, 'credential', 'token', 'ring', 'recovery');
  assert.equal(exitCode, 0);
  const notInUse = findings.filter(({ what }) => what.startsWith('not in use'));
  assert.deepEqual(
    notInUse.map(({ group }) => group),
    ['credential', 'token', 'recovery'],
  );
});
