// kleidi doctor on real hosts: well, and broken in each of its ways.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import { promote, stage } from '../../src/keyring/transitions.ts';
import { RefusedPin } from '../../src/providers/pkcs11/pin.ts';
import { TestHost } from '../support/host.ts';
import { skipReason } from '../support/skip.ts';

interface Finding {
  readonly group: string;
  readonly severity: 'ok' | 'warn' | 'fail';
  readonly what: string;
  readonly todo?: string;
}

interface Diagnosis {
  readonly exitCode: number | null;
  readonly findings: readonly Finding[];
  readonly text: string;
}

async function diagnose(host: TestHost, ...only: string[]): Promise<Diagnosis> {
  const groups = only.flatMap((group) => ['--only', group]);
  const { exitCode, stdout, stderr } = await host.run('doctor', '--json', ...groups);
  assert.notEqual(stdout, '', stderr);
  const { findings, ...counts } = JSON.parse(stdout) as { findings: Finding[]; fail: number };
  assert.equal(exitCode, counts.fail === 0 ? 0 : 1);
  for (const { severity, what, todo } of findings) {
    assert.equal(todo === undefined, severity === 'ok', what);
  }
  return { exitCode, findings, text: stdout + stderr };
}

/** The one finding that is as bad as this, and says so. */
function found(findings: readonly Finding[], severity: string, what: RegExp, todo: RegExp): void {
  const matching = findings.filter((each) => each.severity === severity && what.test(each.what));
  assert.ok(matching.length > 0, `${severity} ${what}: ${JSON.stringify(findings, null, 1)}`);
  for (const each of matching) assert.match(each.todo ?? '', todo);
}

/** Without token.object: SoftHSM raises a counter in it at every login. */
function contentOf(folder: string): Record<string, string> {
  const describe = (path: string): string => {
    const found = lstatSync(path);
    const bytes = found.isFile() ? readFileSync(path) : '';
    const hash = createHash('sha256').update(bytes).digest('hex');
    return `${found.mode} ${found.uid} ${found.gid} ${found.ino} ${hash}`;
  };
  const paths = globSync(join(folder, '**')).filter((path) => !path.endsWith('/token.object'));
  return Object.fromEntries(paths.map((path) => [path, describe(path)]));
}

function recoveryKey(folder: string): string {
  const file = join(folder, 'recovery.pub');
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
  writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }));
  return file;
}

async function recoverable(): Promise<TestHost> {
  const host = new TestHost();
  const args = ['--ring', 'test', '--recovery', recoveryKey(host.folder)];
  assert.equal((await host.run('provision', ...args)).exitCode, 0);
  return host;
}

const intact = await recoverable();
intact.configure({});

/** A copy of a host that is well, to be broken. */
function copy(): TestHost {
  const host = new TestHost();
  for (const name of ['state', 'pin', 'so-pin']) {
    cpSync(join(intact.folder, name), join(host.folder, name), {
      recursive: true,
      preserveTimestamps: true,
    });
  }
  // cpSync gives folders a mode of its own.
  chmodSync(host.tokens, 0o700);
  writeFileSync(
    host.softhsmConf,
    readFileSync(intact.softhsmConf, 'utf8').replaceAll(intact.folder, host.folder),
  );
  return host;
}

const encryptionConfiguration = (
  endpoint: string,
  more = '',
): string => `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - kms: { apiVersion: v2, name: kleidi, endpoint: "${endpoint}", timeout: 3s${more} }
      - identity: {}
`;

function enable(host: TestHost, text = encryptionConfiguration(`unix://${host.socket}`)): string {
  const path = join(host.folder, 'encryption-config.yaml');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

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
    /restart kleidi/,
  );
  rmSync(host.pinPath);
  found((await diagnose(host, 'credential')).findings, 'fail', /cannot be read/, /./);
});

test('token: module, settings, folder, owner, PIN', async () => {
  const host = copy();
  const fault = async (what: RegExp, todo: RegExp): Promise<void> =>
    found((await diagnose(host, 'token')).findings, 'fail', what, todo);

  chmodSync(host.tokens, 0o755);
  await fault(/mode 0755: others could read/, /^chmod 0700/);
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
  found(findings, 'fail', new RegExp(`lacks KEK ${other} \\(write\\)`), /key import/);
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
  await fault(/no kleidi daemon answers/, /systemctl status kleidi/);

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
  const broken: readonly [string, RegExp][] = [
    [encryptionConfiguration('unix:///run/other.sock'), /no provider in it has the endpoint/],
    [encryptionConfiguration(`unix://${host.socket}`, ', cachesize: 100'), /cachesize/],
    [encryptionConfiguration(`unix://${host.socket}`).replace('v2', 'v1'), /not apiVersion: v2/],
    ['kind: Secret', /not an EncryptionConfiguration/],
    ['{', /not an EncryptionConfiguration/],
  ];
  for (const [text, what] of broken) {
    enable(host, text);
    found((await diagnose(host, 'apiserver')).findings, 'fail', what, /apiserver plan/);
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
  found(
    findings,
    'fail',
    /\/pin belongs to uid 0: the daemon \(uid 65534\) cannot/,
    /^chown 65534:65534/,
  );
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
    provider: 'vault',
    recovery: null,
    created: new Date().toISOString(),
  };
  const ring = promote(stage(emptyRing('test'), { ...kek, provider: 'vault' }), kek.fp, 1);
  writeFileSync(host.ringPath, formatRing(ring), { mode: 0o640 });
  const { exitCode, findings } = await diagnose(host, 'credential', 'token', 'ring', 'recovery');
  assert.equal(exitCode, 0);
  const notInUse = findings.filter(({ what }) => what.startsWith('not in use'));
  assert.deepEqual(
    notInUse.map(({ group }) => group),
    ['credential', 'token', 'recovery'],
  );
});
