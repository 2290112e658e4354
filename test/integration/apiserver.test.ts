// The guards of `kleidi apiserver`, as an operator meets them: no phase is skipped,
// no host writes with keys that another lacks, nothing is left unreadable.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { TestHost } from '../support/host.ts';
import type { Result } from '../support/kleidi.ts';

const host = await TestHost.provisioned();
await host.serve();
const root = join(host.folder, 'root');
const manifest = join(root, 'etc/kubernetes/manifests/kube-apiserver.yaml');
mkdirSync(dirname(manifest), { recursive: true });
cpSync('test/vectors/apiserver/kubeadm/manifest.yaml', manifest);
const original = readFileSync(manifest, 'utf8');
const configuration = join(root, host.folder, 'encryption-config.yaml');

const apiserver = (...args: string[]): Promise<Result> =>
  host.run('apiserver', ...args, '--root', root);

async function refuses(exitCode: number, pattern: RegExp, ...args: string[]): Promise<void> {
  const before = readFileSync(manifest, 'utf8');
  const result = await apiserver(...args);
  assert.equal(result.exitCode, exitCode, result.stderr);
  assert.match(result.stderr, pattern);
  assert.match(result.stderr, /^kleidi: hint: /m);
  assert.equal(readFileSync(manifest, 'utf8'), before);
}

async function phase(): Promise<unknown> {
  const { stdout } = await apiserver('status', '--json');
  return (JSON.parse(stdout) as { phase: unknown }).phase;
}

test('detect says what runs kube-apiserver, config prints the file', async () => {
  const { stdout } = await apiserver('detect', '--json');
  assert.equal(JSON.parse(stdout).found[0].distribution, 'kubeadm');
  const printed = await host.run('apiserver', 'config');
  assert.match(printed.stdout, new RegExp(`endpoint: unix://${host.socket}`));
});

test('plan shows a diff and changes nothing', async () => {
  const { exitCode, stdout, stderr } = await apiserver('plan');
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /^\+ {4}- --encryption-provider-config=/m);
  assert.equal(readFileSync(manifest, 'utf8'), original);
  assert.ok(!existsSync(configuration));
});

test('write and only are refused before their turn', async () => {
  await refuses(
    1,
    /phase write comes after read/,
    'enable',
    '--phase',
    'write',
    '--ring-digest',
    `sha256:${'0'.repeat(64)}@cp2.00000000`,
  );
  await refuses(1, /phase only comes after write/, 'enable', '--phase', 'only', '--single-master');
  await refuses(2, /'all' is no PHASE: .* read, write, only/, 'enable', '--phase', 'all');
});

test('read is given at once, for root alone, and twice changes nothing', async () => {
  const first = await apiserver('enable', '--phase', 'read');
  assert.equal(first.exitCode, 0, first.stderr);
  assert.match(first.stderr, /ClusterConfiguration of kubeadm was not changed/);
  assert.equal(statSync(configuration).mode & 0o777, 0o600);
  assert.equal(await phase(), 'read');
  const second = JSON.parse((await apiserver('enable', '--phase', 'read', '--json')).stdout);
  assert.equal(second.changed, false);
});

test('write wants the digest of another member, or that there is none', async () => {
  await refuses(2, /--ring-digest DIGEST@MEMBER of another member/, 'enable', '--phase', 'write');
  const write = ['enable', '--phase', 'write', '--accept-no-recovery', '--ring-digest'];
  await refuses(2, /is not what kleidi ring digest --live --named prints/, ...write, 'abc');
  await refuses(
    1,
    /the ring of this host is another/,
    'enable',
    '--phase',
    'write',
    '--ring-digest',
    `sha256:${'0'.repeat(64)}@cp2.00000000`,
  );
  await refuses(1, /has no recovery/, 'enable', '--phase', 'write', '--single-master');
  const own = (await host.run('ring', 'digest', '--live', '--named')).stdout.trim();
  await refuses(1, /is the word of this host, not of another member/, ...write, own);
  const { stdout } = await host.run('ring', 'digest', '--live');
  const given = await apiserver(
    'enable',
    '--phase',
    'write',
    '--accept-no-recovery',
    '--ring-digest',
    `${stdout.trim()}@cp2.00000000`,
  );
  assert.equal(given.exitCode, 0, given.stderr);
  assert.equal(await phase(), 'write');
});

test('only and disable want a proof, and disable only comes from read', async () => {
  const sure = ['--single-master', '--accept-no-recovery'];
  await refuses(2, /--scan FILE .* or --no-scan/, 'enable', '--phase', 'only', ...sure);
  await refuses(1, /./, 'enable', '--phase', 'only', ...sure, '--scan', manifest);
  await refuses(1, /at phase write: it still writes/, 'disable', '--no-scan');
  const only = await apiserver('enable', '--phase', 'only', ...sure, '--no-scan');
  assert.equal(only.exitCode, 0, only.stderr);
  assert.equal(await phase(), 'only');
});

test('and all the way back, step by step: byte for byte what it was', async () => {
  await refuses(1, /phase read comes after write/, 'enable', '--phase', 'read');
  const sure = ['--single-master', '--accept-no-recovery'];
  assert.equal((await apiserver('enable', '--phase', 'write', ...sure)).exitCode, 0);
  assert.equal((await apiserver('enable', '--phase', 'read')).exitCode, 0);
  await refuses(2, /one of --scan FILE, --no-scan/, 'disable');
  const back = await apiserver('disable', '--no-scan');
  assert.equal(back.exitCode, 0, back.stderr);
  assert.equal(readFileSync(manifest, 'utf8'), original);
  assert.ok(!existsSync(configuration));
  assert.ok(!existsSync(join(dirname(host.ringPath), 'apiserver/record.json')));
  const again = await apiserver('disable', '--no-scan');
  assert.equal(again.exitCode, 0, again.stderr);
  assert.match(again.stderr, /nothing to change: kube-apiserver of kubeadm .* does not use kleidi/);
  assert.equal(readFileSync(manifest, 'utf8'), original);
});
