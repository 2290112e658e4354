// The token folder of SoftHSM as the daemon may find it: read-only, or with an
// object in it that is damaged. Each look at it is made by a fresh process, which
// a damaged file may end without harm to the test.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { firstModule } from '../../src/softhsm.ts';
import { TestHost } from '../support/host.ts';
import { program } from '../support/kleidi.ts';
import { missingTool } from '../support/skip.ts';

const host = await TestHost.provisioned();

/** Mounts the folder read-only over itself, proves it, and becomes the program. */
const readOnly = `
set -e
mount --bind "$0" "$0"
mount -o remount,ro,bind "$0"
if touch "$0/proof" 2>/dev/null; then exit 9; fi
exec "$@"`;

function objects(): string[] {
  const [folder = ''] = readdirSync(host.tokens);
  return readdirSync(join(host.tokens, folder))
    .filter((name) => name.endsWith('.object') && name !== 'token.object')
    .map((name) => join(host.tokens, folder, name));
}

/**
 * Opens the token, loads these KEKs, seals and opens with them.
 * @returns the fingerprints that were verified
 */
async function verified(fps: readonly string[], ...before: string[]): Promise<unknown> {
  const [command = '', ...args] = [...before, process.execPath, program, 'verify-token'];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const settings = {
    module: firstModule(),
    token: 'kleidi',
    softhsmConf: host.softhsmConf,
    runtimeDir: join(host.folder, 'run'),
    callTimeoutMs: 2_000,
    openTimeoutMs: 10_000,
  };
  child.stdin.end(`${JSON.stringify({ settings, pin: host.pin, fps })}\n`);
  const answer = JSON.parse(await text(child.stdout)) as { verified?: { fp: string }[] };
  return answer.verified?.map(({ fp }) => fp) ?? answer;
}

/** Root has the right to mount; others may have it in a user namespace. */
const unshare = [
  ['unshare', '-m'],
  ['unshare', '-rm'],
].find(([command = '', flags = '']) => spawnSync(command, [flags, 'true']).status === 0);

function cannotMount(): string | false {
  if (unshare !== undefined) return missingTool('mount');
  return missingTool('unshare') || 'needs the right to mount';
}

test('a token folder that is mounted read-only opens, loads, seals and opens', {
  skip: cannotMount(),
}, async () => {
  const fps = host.ring.keks.map((kek) => kek.fp);
  const inNamespace = [...(unshare ?? []), 'sh', '-c', readOnly, host.tokens];
  assert.deepEqual(await verified(fps, ...inNamespace), fps);
});

test('a KEK object that is damaged does not keep another from being found', async () => {
  const [good = ''] = host.ring.keks.map((kek) => kek.fp);
  const before = new Set(objects());
  assert.equal((await host.run('key', 'create')).exitCode, 0);
  const [path = ''] = objects().filter((name) => !before.has(name));
  const whole = readFileSync(path);
  const fps = host.ring.keks.map((kek) => kek.fp);
  assert.equal(fps.length, 2);
  const damages = {
    'cut in half': whole.subarray(0, whole.length / 2),
    empty: Buffer.alloc(0),
    zeroed: Buffer.alloc(whole.length),
    'end zeroed': Buffer.concat([whole.subarray(0, -100), Buffer.alloc(100)]),
  };
  for (const [name, bytes] of Object.entries(damages)) {
    writeFileSync(path, bytes);
    assert.deepEqual(await verified(fps), [good], name);
  }
  writeFileSync(path, whole);
  assert.deepEqual(new Set((await verified(fps)) as string[]), new Set(fps), 'restored');
});
