// What a ring names is on the disk first: the order of writes and fsyncs of the
// command and its children, as the kernel saw them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requestOf } from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { program } from '../support/kleidi.ts';
import { missingTool } from '../support/skip.ts';

/** One system call, with the path that its descriptor or arguments name. */
interface Step {
  readonly call: 'write' | 'sync' | 'rename';
  readonly path: string;
}

const skip = missingTool('strace');

function traced(host: TestHost, ...args: string[]): Step[] {
  const log = join(temporaryFolder(), 'strace');
  const calls = 'trace=write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,openat';
  const command = [process.execPath, program, ...args, '--config', host.configPath];
  const { status, stderr } = spawnSync('strace', ['-f', '-y', '-e', calls, '-o', log, ...command]);
  assert.equal(status, 0, String(stderr));
  return readFileSync(log, 'utf8').split('\n').flatMap(stepOf);
}

function stepOf(line: string): Step[] {
  const renamed = /rename\w*\(.*"([^"]+)"(?:, [^"]*)?\)/.exec(line)?.[1];
  if (renamed !== undefined) return [{ call: 'rename', path: renamed }];
  const created = /openat\([^"]*"([^"]+)", [^)]*O_CREAT/.exec(line)?.[1];
  if (created !== undefined) return [{ call: 'write', path: created }];
  const [, name = '', path = ''] = /(\w+)\(\d+<([^>]+)>/.exec(line) ?? [];
  if (path === '') return [];
  return [{ call: name.includes('sync') ? 'sync' : 'write', path }];
}

/** Every object of the token that was written before this step is synced before it. */
function requireSynced(host: TestHost, steps: readonly Step[], before: number): number {
  const written = new Set<string>();
  for (const { call, path } of steps.slice(0, before)) {
    if (!path.startsWith(host.tokens) || !path.endsWith('.object')) continue;
    if (call === 'write') written.add(path);
    if (call === 'sync') written.delete(path);
  }
  assert.deepEqual([...written], [], 'written, and not on the disk');
  const folders = steps
    .slice(0, before)
    .filter(({ call, path }) => call === 'sync' && path === host.tokens);
  assert.ok(folders.length > 0, 'the token folder itself');
  return steps.filter(({ call, path }) => call === 'write' && path.startsWith(host.tokens)).length;
}

function ringRenames(host: TestHost, steps: readonly Step[]): number[] {
  return steps.flatMap(({ call, path }, i) =>
    call === 'rename' && path === host.ringPath ? [i] : [],
  );
}

test('key create: the key is on the disk before the ring names it', { skip }, async () => {
  const host = await TestHost.provisioned();
  const steps = traced(host, 'key', 'create');
  const [named = 0] = ringRenames(host, steps);
  assert.ok(named > 0, 'the ring is written');
  assert.ok(requireSynced(host, steps, named) > 0, 'the token is written');
});

test('provision: PINs, token and first KEK likewise', { skip }, () => {
  const host = new TestHost();
  const steps = traced(host, 'provision', '--ring', 'test');
  for (const named of ringRenames(host, steps)) requireSynced(host, steps, named);
});

test('key import: before the ring names it, and so before the transport key dies', {
  skip,
}, async () => {
  const [a, b] = [await TestHost.provisioned(), new TestHost()];
  await b.run('provision', '--ring', 'test', '--token-only');
  const request = await requestOf(b);
  const bundle = join(b.folder, 'bundle.json');
  const made = await a.run(
    'key',
    'create',
    '--for',
    `${request.path}=${request.sha256}`,
    '--out',
    bundle,
    '--json',
  );
  const { fp } = JSON.parse(made.stdout) as { fp: string };
  const steps = traced(b, 'key', 'import', bundle, '--expect', fp);
  const [named = 0] = ringRenames(b, steps);
  assert.ok(named > 0, 'the ring is written');
  requireSynced(b, steps, named);
  const destroyed = steps.findLastIndex(
    ({ call, path }) => call === 'write' && path.startsWith(b.tokens),
  );
  assert.ok(destroyed > named, 'the transport key dies after the ring is written');
});
