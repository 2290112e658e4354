// Doctor's rules about what systemd, SELinux and a static pod say.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { enabledManifest } from '../../src/apiserver/distributions/manifest.ts';
import { newConfiguration } from '../../src/apiserver/kmsprovider.ts';
import { loadConfig } from '../../src/config.ts';
import { apiserver } from '../../src/doctor/apiserver.ts';
import { flat, type Subject } from '../../src/doctor/check.ts';
import { host, systemdFinding } from '../../src/doctor/host.ts';
import { selinux } from '../../src/doctor/selinux.ts';
import { unitFindings } from '../../src/doctor/unit.ts';
import { parseProperties } from '../../src/host/systemctl.ts';
import { temporaryFolder } from '../support/folder.ts';

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
}

/** With a file system of its own; what else is asked for fails the test. */
function subjectIn(root: string, settings = ''): Subject {
  const asked = (): never => assert.fail('not for this check');
  const configPath = join(root, 'kleidi.yaml');
  put(configPath, `encryptionConfig: ${join(root, 'encryption.yaml')}\n${settings}`);
  const config = () => loadConfig(configPath);
  return {
    configPath,
    root,
    isRoot: true,
    config,
    role: async () => 'master',
    ring: asked,
    keks: asked,
    tpmKeks: asked,
    vaultKey: asked,
    state: asked,
  };
}

/** As `systemctl show` of systemd 252 prints it. */
const well = `LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no
DropInPaths=
NRestarts=0
`;

function severities(text: string): string[] {
  return flat(unitFindings('kleidi.service', parseProperties(text))).map(
    ({ severity, what, todo }) => `${severity}: ${what}${todo === undefined ? '' : `; ${todo}`}`,
  );
}

test('a unit that is installed, enabled and active', () => {
  assert.deepEqual(severities(well), [
    'ok: kleidi.service is active',
    'ok: kleidi.service is enabled',
  ]);
});

test('each way in which a unit is not', () => {
  const cases: readonly [string, string, RegExp][] = [
    ['LoadState=loaded', 'LoadState=not-found', /^fail: kleidi\.service is not installed; install/],
    ['LoadState=loaded', 'LoadState=masked', /^fail: kleidi\.service is masked; systemctl unmask/],
    ['ActiveState=active', 'ActiveState=failed', /^fail: .* is failed; systemctl start/],
    ['UnitFileState=enabled', 'UnitFileState=disabled', /^fail: .* disabled.*; systemctl enable/],
    [
      'NeedDaemonReload=no',
      'NeedDaemonReload=yes',
      /^warn: .*older file.*; systemctl daemon-reload/,
    ],
    ['NRestarts=0', 'NRestarts=25', /^warn: .*25 times.*; journalctl/],
    ['DropInPaths=', 'DropInPaths=/etc/x.conf /etc/y.conf', /^ok: .*x\.conf, \/etc\/y\.conf$/],
  ];
  for (const [from, to, wanted] of cases) {
    const found = severities(well.replace(from, to));
    assert.ok(
      found.some((line) => wanted.test(line)),
      `${to}: ${found.join('\n')}`,
    );
  }
});

test('a systemd that cannot encrypt credentials is a warning', () => {
  assert.equal(systemdFinding(249).severity, 'warn');
  assert.equal(systemdFinding(250).severity, 'ok');
});

test('SELinux: absent, permissive, enforcing with and without the policy module', async () => {
  const root = temporaryFolder();
  const severity = async () =>
    flat(await selinux.run(subjectIn(root))).map((each) => each.severity);
  assert.deepEqual(await severity(), ['ok']);
  put(join(root, 'sys/fs/selinux/enforce'), '0');
  assert.deepEqual(await severity(), ['ok']);
  put(join(root, 'sys/fs/selinux/enforce'), '1');
  assert.deepEqual(await severity(), ['warn']);
  put(join(root, 'var/lib/selinux/targeted/active/modules/400/kleidi/cil'), '');
  assert.deepEqual(await severity(), ['ok']);
});

test("kubeadm's static pod: which file its flag names, and whether all of enable is there", async () => {
  const root = temporaryFolder();
  const subject = subjectIn(root);
  const { encryptionConfig: path, socket } = subject.config();
  const configuration = newConfiguration('write', socket, [{ identity: {} }]);
  for (const place of [path, join(root, path)]) put(place, configuration);
  const last = async () => flat(await apiserver.run(subject)).at(-1);
  const manifest = join(root, 'etc/kubernetes/manifests/kube-apiserver.yaml');
  const text = readFileSync('test/vectors/apiserver/kubeadm/manifest.yaml', 'utf8');
  const enabled = enabledManifest(text, manifest, { socket, config: path });
  put(manifest, enabled);
  assert.equal((await last())?.severity, 'ok');
  const warned = flat(await apiserver.run(subject)).filter(({ severity }) => severity === 'warn');
  assert.match(warned.map(({ what }) => what).join(), /not recorded of which cluster/);
  const noMount = enabled.replace(/ {4}- mountPath: \/run\/kleidi\n( {6}.*\n)+/, '');
  assert.notEqual(noMount, enabled);
  for (const less of [noMount, enabled.replace(/.*automatic-reload.*\n/, '')]) {
    put(manifest, less);
    const { severity, what, todo } = (await last()) ?? assert.fail('nothing found');
    assert.equal(severity, 'fail');
    assert.match(what, /has lost flags or mounts/);
    assert.equal(todo, 'kleidi apiserver enable --phase write');
  }
  for (const other of [
    text.replace('    image:', '    - --encryption-provider-config=/etc/o.yaml\n    image:'),
    text,
  ]) {
    put(manifest, other);
    assert.match((await last())?.what ?? '', /kube-apiserver of kubeadm .* does not read it yet/);
  }
});

test('a call that may take longer than kube-apiserver waits', async () => {
  const root = temporaryFolder();
  const path = subjectIn(root).config().encryptionConfig;
  const cases: readonly (readonly [number, string, boolean])[] = [
    [2_500, '', true],
    [9_000, '', false],
    [9_000, ', timeout: 3s', false],
    [9_000, ', timeout: 9000ms', false],
    [9_000, ', timeout: 10s', true],
    [61_000 - 1_500, ', timeout: 1m0.5s', true],
  ];
  for (const [callTimeoutMs, timeout, isGood] of cases) {
    const subject = subjectIn(root, `limits: { callTimeoutMs: ${callTimeoutMs} }\n`);
    put(
      path,
      `kind: EncryptionConfiguration\nresources: [{providers: [{kms: {apiVersion: v2, endpoint: "unix:///run/kleidi/kms.sock"${timeout}}}]}]\n`,
    );
    const found = flat(await apiserver.run(subject)).filter(({ what }) =>
      /waits \d+ ms/.test(what),
    );
    assert.equal(found.length, isGood ? 0 : 1, `${callTimeoutMs}${timeout}`);
  }
});

test('host: an installation that was cut short, a first boot that has not provisioned', async () => {
  const root = temporaryFolder();
  const faults = async () =>
    flat(await host.run(subjectIn(root))).filter(({ severity }) => severity === 'fail');
  assert.deepEqual(await faults(), []);
  put(join(root, 'var/lib/kleidi.first-boot'), '');
  assert.match((await faults())[0]?.todo ?? '', /^systemctl start kleidi-first-boot/);
  put(join(root, 'var/lib/kleidi.unfinished'), '');
  assert.match((await faults())[0]?.todo ?? '', /^dpkg --configure kleidi.*rpm -U --replacepkgs$/);
});
