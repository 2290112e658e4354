// What `kleidi provision` decides before it changes a host: which way back it names, what
// counts as use by an API server, and whose the files of a host are.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { apiserverUse } from '../../src/admin/provision/apiserveruse.ts';
import { proveCopiedDisk } from '../../src/admin/provision/copieddisk.ts';
import { planProvision, type Wish } from '../../src/admin/provision/plan.ts';
import type { Found, ProvisionRecord } from '../../src/admin/provision/record.ts';
import { enabledManifest } from '../../src/apiserver/distributions/manifest.ts';
import { newConfiguration } from '../../src/apiserver/kmsprovider.ts';
import { loadConfig } from '../../src/config.ts';
import { KleidiError } from '../../src/errors.ts';
import { isAsDue, ownersDue, tokenOwnerDue } from '../../src/host/owners.ts';
import { temporaryFolder } from '../support/folder.ts';
import { skipReason } from '../support/skip.ts';

const wish: Wish = {
  ring: 'kleidi',
  ringNamed: false,
  kekNamed: false,
  token: 'kleidi',
  machine: 'this',
  tokenOnly: false,
};
const whole: Found = { ring: true, pins: true, token: true, isBlank: false, inUse: [] };
const record: ProvisionRecord = {
  format: 1,
  ring: 'kleidi',
  token: 'kleidi',
  machine: 'this',
  tokenOnly: false,
  done: true,
};

function hintOf(plan: () => unknown): string {
  try {
    plan();
  } catch (thrown) {
    return KleidiError.from(thrown).hint ?? '';
  }
  return assert.fail('not refused');
}

test('each refusal names the command of its case', () => {
  const none = { ...whole, ring: false, pins: false, token: false };
  const cases: readonly (readonly [RegExp, Partial<Wish>, ProvisionRecord | undefined, Found])[] = [
    [/--replace lost-token --member-ring/, {}, record, { ...whole, token: false }],
    [/--replace lost-token --member-ring/, {}, record, { ...whole, token: false, ring: false }],
    [/--replace lost-token --member-ring/, {}, record, { ...whole, pins: false }],
    [/--replace lost-token --member-ring/, {}, undefined, { ...none, inUse: ['a flag'] }],
    [/--replace copied-disk/, { machine: 'other' }, record, whole],
    [/--replace never-sealed/, { ring: 'prod', ringNamed: true }, record, whole],
    [/--replace never-sealed/, {}, undefined, { ...whole, ring: false }],
  ];
  for (const [hint, change, made, found] of cases) {
    assert.match(
      hintOf(() => planProvision({ ...wish, ...change }, made, found)),
      hint,
    );
  }
  assert.deepEqual(planProvision(wish, undefined, none), { kind: 'begin' });
});

test('a copy is one only where the machine-id differs and the operator says so', () => {
  assert.match(
    hintOf(() => proveCopiedDisk(undefined, 'other', true)),
    /machine-id/,
  );
  assert.match(
    hintOf(() => proveCopiedDisk(record, 'this', true)),
    /machine-id/,
  );
  assert.match(
    hintOf(() => proveCopiedDisk(record, 'other', false)),
    /machine-id/,
  );
  assert.equal(proveCopiedDisk(record, 'other', true).length, 2);
});

test('an EncryptionConfiguration at phase read is no use of kleidi; a flag, a later phase and a record are', () => {
  const root = temporaryFolder();
  const configPath = join(root, 'kleidi.yaml');
  writeFileSync(configPath, `ring: ${join(root, 'state/ring.json')}\n`);
  const config = loadConfig(configPath);
  const file = join(root, config.encryptionConfig);
  const paths = { socket: config.socket, config: config.encryptionConfig };
  mkdirSync(dirname(file), { recursive: true });
  assert.deepEqual(apiserverUse(config, root), []);
  writeFileSync(file, newConfiguration('read', config.socket, [{ identity: {} }]));
  assert.deepEqual(apiserverUse(config, root), []);
  for (const phase of ['write', 'only'] as const) {
    writeFileSync(file, newConfiguration(phase, config.socket, [{ identity: {} }]));
    assert.deepEqual(apiserverUse(config, root), [`${paths.config} is at phase ${phase}`]);
  }
  writeFileSync(file, 'kind: kleidi');
  assert.match(apiserverUse(config, root).join(), /its phase cannot be told/);
  const pod = join(root, 'etc/kubernetes/manifests/kube-apiserver.yaml');
  mkdirSync(dirname(pod), { recursive: true });
  cpSync('test/vectors/apiserver/kubeadm/manifest.yaml', pod);
  writeFileSync(file, newConfiguration('read', config.socket, [{ identity: {} }]));
  assert.deepEqual(apiserverUse(config, root), []);
  writeFileSync(pod, enabledManifest(readFileSync(pod, 'utf8'), pod, paths));
  assert.match(apiserverUse(config, root).join(), /flags of kube-apiserver name/);
  const made = join(root, 'state/apiserver/record.json');
  mkdirSync(dirname(made), { recursive: true });
  writeFileSync(made, '{}');
  assert.equal(apiserverUse(config, root).length, 2);
});

test('the files of the package have the owners that its users say, whatever they have now', {
  skip: process.getuid?.() === 0 ? false : skipReason('needs root'),
}, () => {
  const etc = temporaryFolder();
  const configPath = join(etc, 'kleidi.yaml');
  writeFileSync(configPath, '');
  const config = loadConfig(configPath);
  assert.equal(tokenOwnerDue(config, etc), undefined, 'no such users');
  writeFileSync(
    join(etc, 'passwd'),
    'root:x:0:0::/:/bin/sh\nkleidi-token:x:991:990::/:/bin/false\n',
  );
  writeFileSync(join(etc, 'group'), 'root:x:0:\nkleidi:x:989:\n');
  const owner = tokenOwnerDue(config, etc);
  assert.deepEqual(owner, { uid: 991, gid: 989 });
  const [folder, ring] = ownersDue(config, { uid: 991, gid: 989 });
  assert.deepEqual([folder?.path, folder?.owner.gid], ['/var/lib/kleidi', 989]);
  const found = statSync(configPath);
  const is = (mode: number, gid: number): boolean =>
    ring !== undefined &&
    isAsDue(Object.assign(found, { uid: 0, gid, mode: 0o100000 | mode }), ring);
  assert.deepEqual(
    [is(0o640, 989), is(0o644, 989), is(0o600, 989), is(0o660, 989), is(0o640, 0)],
    [true, true, false, false, false],
  );
});
