// Hosts whose token is lost or copied, and the way back to their ring, for the tests of
// kleidi provision --replace.
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createFor,
  good,
  joinTo,
  makeRecovery,
  promoteOn,
  recoveryBundles,
  requestOf,
  tokenOnlyHost,
} from './ceremony.ts';
import { temporaryFolder } from './folder.ts';
import type { TestHost } from './host.ts';
import { kleidi } from './kleidi.ts';
import { memberLike } from './member.ts';
import { passphrase } from './recoveryset.ts';

const offline = temporaryFolder();
export const recovery = await makeRecovery(offline);
let files = 0;

/** Of a file that is not there yet, on the offline machine. */
export function offlineFile(name: string): string {
  return join(offline, `${name}-${files++}.json`);
}

interface Pair {
  readonly first: TestHost;
  readonly second: TestHost;
  readonly fp: string;
}

/** Two members of one ring at generation 2. */
export async function members(): Promise<Pair> {
  const [first, second] = [await tokenOnlyHost('prod'), await tokenOnlyHost('prod')];
  const made = await createFor(first, [await requestOf(second)], recovery);
  await joinTo(second, made);
  for (const host of [first, second]) await promoteOn(host, made.fp, 2);
  return { first, second, fp: made.fp };
}

interface Exported {
  readonly file: string;
  readonly digest: string;
}

export async function exportOf(host: TestHost): Promise<Exported> {
  const file = offlineFile('ring');
  await good(host, 'ring', 'export', '--out', file);
  return { file, digest: (await good(host, 'ring', 'digest')).trim() };
}

export function lostToken({ file, digest }: Exported): string[] {
  return ['provision', '--replace', 'lost-token', '--member-ring', file, '--expect', digest];
}

/** The KEKs of a member, by the recovery key, and its ring. */
export async function comeBack(to: TestHost, member: TestHost): Promise<void> {
  const [request, { file, digest }] = [await requestOf(to), await exportOf(member)];
  const out = offlineFile('back');
  const args = ['--key', recovery.key, '--for', request.named, '--ring', file, '--expect', digest];
  const rewrap = ['recovery', 'rewrap', ...recoveryBundles(member), ...args, '--out', out];
  const { exitCode, stderr } = await kleidi([...rewrap, '--passphrase-fd', '0'], {
    input: passphrase,
  });
  assert.equal(exitCode, 0, stderr);
  await good(to, 'join', out, '--expect', digest);
}

export function replacedIn(host: TestHost): string {
  const folder = join(host.folder, 'state/replaced');
  const [only = '', ...more] = readdirSync(folder);
  assert.deepEqual(more, []);
  return join(folder, only);
}

export function damage(host: TestHost): void {
  const [token = ''] = readdirSync(host.tokens);
  writeFileSync(join(host.tokens, token, 'token.object'), 'x');
}

export function copyOf(host: TestHost): TestHost {
  const copy = memberLike(host);
  const path = join(copy.folder, 'state/provision.json');
  const record = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...record, machine: 'ab'.repeat(32) }));
  return copy;
}

export function contentsOf(folder: string): Record<string, string> {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !/\.lock$|^token\.object$/.test(entry.name),
  );
  const paths = found.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [path, readFileSync(path, 'base64')]));
}

/** Puts the host back as it is now. */
export function snapshotOf({ folder }: TestHost): () => void {
  const saved = join(temporaryFolder(), 'saved');
  cpSync(folder, saved, { recursive: true });
  return () => {
    rmSync(folder, { recursive: true });
    cpSync(saved, folder, { recursive: true });
  };
}
