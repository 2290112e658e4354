// Hosts of one ring, and the commands that carry a KEK from one to another.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestHost } from './host.ts';
import { kleidi, type Result } from './kleidi.ts';
import { passphrase } from './recoveryset.ts';
import { tokenObjects } from './tokenobjects.ts';

export async function good(host: TestHost, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await host.run(...args);
  assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** A token and a ring without a KEK. */
export async function tokenOnlyHost(ring = 'test'): Promise<TestHost> {
  const host = new TestHost();
  await good(host, 'provision', '--token-only', '--ring', ring);
  return host;
}

export interface RecoveryFiles {
  readonly key: string;
  readonly pub: string;
  readonly sha256: string;
}

/** As the operator does on the offline machine: without a configuration. */
export async function makeRecovery(folder: string, name = 'recovery'): Promise<RecoveryFiles> {
  const out = join(folder, name);
  const args = ['recovery', 'create', '--out', out, '--passphrase-fd', '0', '--json'];
  const { exitCode, stdout, stderr } = await kleidi(args, { input: `${passphrase}\n` });
  assert.equal(exitCode, 0, stderr);
  const { sha256 } = JSON.parse(stdout) as { sha256: string };
  return { key: `${out}.key`, pub: `${out}.pub`, sha256 };
}

export interface RequestFileOf {
  readonly path: string;
  readonly sha256: string;
  /** FILE=SHA256 */
  readonly named: string;
}

let made = 0;

export async function requestOf(host: TestHost, ...more: string[]): Promise<RequestFileOf> {
  const path = join(host.folder, `request-${made++}`);
  const { sha256 } = JSON.parse(
    await good(host, 'key', 'request', '--out', path, '--json', ...more),
  ) as { sha256: string };
  return { path, sha256, named: `${path}=${sha256}` };
}

export interface MadeKek {
  readonly fp: string;
  readonly bundle: string;
}

export interface MadeBundle extends MadeKek {
  /** Of the ring that the bundle carries. */
  readonly digest: string;
}

/** A KEK of `host` for these requests, in a bundle in its folder. */
export async function createFor(
  host: TestHost,
  requests: readonly RequestFileOf[],
  recovery?: RecoveryFiles,
): Promise<MadeBundle> {
  const bundle = join(host.folder, `bundle-${made++}`);
  const named = requests.flatMap((request) => ['--for', request.named]);
  const offline =
    recovery === undefined ? [] : ['--recovery', `${recovery.pub}=${recovery.sha256}`];
  const output = await good(host, 'key', 'create', ...named, ...offline, '--out', bundle, '--json');
  const { fp, digest } = JSON.parse(output) as { fp: string; digest: string };
  return { fp, bundle, digest };
}

export async function importInto(host: TestHost, { fp, bundle }: MadeKek): Promise<void> {
  await good(host, 'key', 'import', bundle, '--expect', fp);
}

export async function joinTo(host: TestHost, { bundle, digest }: MadeBundle): Promise<void> {
  await good(host, 'join', bundle, '--expect', digest);
}

export async function promoteOn(host: TestHost, fp: string, generation: number): Promise<void> {
  await good(host, 'key', 'promote', fp, '--generation', String(generation));
}

/** Every KEK of `from` for `to`, by the recovery key: what the operator does offline. */
export async function rewrapInto(
  to: TestHost,
  bundles: readonly string[],
  recovery: RecoveryFiles,
): Promise<readonly string[]> {
  const request = await requestOf(to);
  const out = join(to.folder, `rewrapped-${made++}`);
  const args = ['--key', recovery.key, '--for', request.named, '--out', out];
  const { exitCode, stdout, stderr } = await kleidi(
    ['recovery', 'rewrap', ...bundles, ...args, '--passphrase-fd', '0', '--json'],
    { input: passphrase },
  );
  assert.equal(exitCode, 0, stderr);
  const { fps } = JSON.parse(stdout) as { fps: string[] };
  await good(to, 'key', 'import', out, '--expect', fps.join(','));
  return fps;
}

/** All that a refused command must leave as it was: every file but the token's, and each object of the token. */
export async function everythingOf(host: TestHost): Promise<object> {
  const files = readdirSync(host.folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.lock$|^token\.object$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const digests = files.map((file) => [
    file,
    createHash('sha256').update(readFileSync(file)).digest('hex'),
  ]);
  return { files: Object.fromEntries(digests) as object, objects: await tokenObjects(host) };
}

/** Exit code 1, with this reason and a next step, and all is as it was. */
export async function requireRefusal(
  host: TestHost,
  reason: RegExp,
  ...args: string[]
): Promise<Result> {
  const before = await everythingOf(host);
  const result = await host.run(...args);
  assert.equal(result.exitCode, 1, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
  assert.match(result.stderr, reason);
  assert.match(result.stderr, /kleidi: hint: .+/);
  assert.deepEqual(await everythingOf(host), before);
  return result;
}

export function recoveryBundles(host: TestHost): string[] {
  const folder = join(host.folder, 'state/bundles');
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}
