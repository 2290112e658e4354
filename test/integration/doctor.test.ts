// kleidi doctor on real hosts: well, and with its own files broken in each way.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { contentOf, copy, diagnose, enable, found } from '../support/diagnosis.ts';
import { TestHost } from '../support/host.ts';

test('a host that is well: exit 0, nothing to do, nothing changed', async () => {
  const host = copy();
  enable(host);
  const daemon = await host.serve();
  const before = contentOf(host.folder);
  const { exitCode, findings, text } = await diagnose(host);
  assert.deepEqual(
    findings.filter(
      ({ severity, group }) => severity !== 'ok' && !/^(unit|host|selinux)$/.test(group),
    ),
    [],
  );
  assert.equal(exitCode, 0);
  const groups = [...new Set(findings.map(({ group }) => group))];
  assert.deepEqual(groups, [
    'configuration',
    'credential',
    'token',
    'ring',
    'socket',
    'unit',
    'apiserver',
    'recovery',
    'selinux',
    'host',
  ]);
  assert.deepEqual(contentOf(host.folder), before);
  for (const secret of [host.pin, readFileSync(join(host.folder, 'so-pin'), 'utf8')]) {
    assert.ok(!text.includes(secret));
  }
  const plain = await host.run('doctor', '--only', 'socket');
  assert.match(plain.stdout, /^socket\n {2}ok {4}.*\n(.*\n)*\d ok, 0 to look at, 0 failed\n$/);
  await daemon.stop();
});

test('configuration: not valid, or open to others', async () => {
  const host = copy();
  chmodSync(host.configPath, 0o666);
  found((await diagnose(host)).findings, 'fail', /others could change it/, /^chmod /);
  host.configure({ frob: 1 });
  const { findings } = await diagnose(host);
  found(findings, 'fail', /frob/, /config check/);
  found(findings, 'warn', /^not checked: the config/, /config check/);
});

test('credential: missing, open to others, refused before', async () => {
  const host = copy();
  const pin = host.pin;
  chmodSync(host.pinPath, 0o644);
  found((await diagnose(host, 'credential')).findings, 'fail', /mode 0644/, /^chmod 0400/);
  chmodSync(host.pinPath, 0o400);
  rmSync(join(host.folder, 'so-pin'));
  const { exitCode, findings } = await diagnose(host, 'credential');
  found(findings, 'warn', /so-pin/, /./);
  assert.equal(exitCode, 0, 'the daemon needs no SO PIN');
  await new RefusedPin(join(host.folder, 'run')).remember(pin);
  found(
    (await diagnose(host, 'credential')).findings,
    'fail',
    /refused this PIN/,
    /kleidi pin set/,
  );
  rmSync(host.pinPath);
  found((await diagnose(host, 'credential')).findings, 'fail', /cannot be read/, /./);
});

test('token: module, settings, folder, owner, PIN', async () => {
  const host = copy();
  const fault = async (what: RegExp, todo: RegExp): Promise<void> =>
    found((await diagnose(host, 'token')).findings, 'fail', what, todo);

  chmodSync(host.tokens, 0o755);
  await fault(/mode 0755: others could read/, /^chmod 0750/);
  chmodSync(host.tokens, 0o700);

  host.configure({ pkcs11: { module: '/nonexistent/module.so' } });
  await fault(/module\.so is missing/, /apt-get install softhsm2/);
  host.configure({});

  chmodSync(host.pinPath, 0o600);
  writeFileSync(host.pinPath, 'not-the-pin');
  await fault(/refuse/, /PIN/);

  rmSync(host.tokens, { recursive: true });
  await fault(/token folder .* is missing/, /restore it/);
  rmSync(host.softhsmConf);
  await fault(/softhsm2\.conf is missing/, /provision/);
});

test('ring: missing, corrupt, without a KEK, and other than the token', async () => {
  const host = copy();
  const fp = host.ring.keks[0]?.fp ?? '';
  const other = 'ab'.repeat(16);
  const good = readFileSync(host.ringPath, 'utf8');
  writeFileSync(host.ringPath, good.replaceAll(fp, other));
  const { findings } = await diagnose(host, 'ring');
  found(findings, 'fail', new RegExp(`lacks KEK ${other} \\(write\\)`), /kleidi join/);
  found(findings, 'warn', new RegExp(`${fp} is in the token but not in the ring`), /ring adopt/);

  writeFileSync(host.ringPath, '{');
  found((await diagnose(host, 'ring')).findings, 'fail', /ring/, /./);
  rmSync(host.ringPath);
  found((await diagnose(host, 'ring', 'recovery')).findings, 'fail', /does not exist/, /provision/);

  const bare = new TestHost();
  await bare.run('provision', '--token-only');
  found((await diagnose(bare, 'ring')).findings, 'fail', /no write KEK/, /promote/);
});

test('ring: a daemon that does not serve what the file says', async () => {
  const host = copy();
  const daemon = await host.serve();
  const good = readFileSync(host.ringPath, 'utf8');
  const from = daemon.lines.length;
  writeFileSync(`${host.ringPath}.new`, good.replace('"test"', '"another"'));
  renameSync(`${host.ringPath}.new`, host.ringPath);
  await daemon.event('ring-refused', from);
  const { findings } = await diagnose(host, 'ring', 'socket');
  found(findings, 'fail', /the daemon serves ring test, generation 1/, /do not restart/);
  found(findings, 'warn', /serving on with generation 1/, /journalctl/);
  await daemon.stop();
});
