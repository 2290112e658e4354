// Hosts for kleidi doctor: one that is well, copies of it to be broken, and what
// doctor finds on them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, globSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestHost } from './host.ts';
import { newHybridKey, writePublic } from './recoveryset.ts';

export interface Finding {
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

export async function diagnose(host: TestHost, ...only: string[]): Promise<Diagnosis> {
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
export function found(
  findings: readonly Finding[],
  severity: string,
  what: RegExp,
  todo: RegExp,
): void {
  const matching = findings.filter((each) => each.severity === severity && what.test(each.what));
  assert.ok(matching.length > 0, `${severity} ${what}: ${JSON.stringify(findings, null, 1)}`);
  for (const each of matching) assert.match(each.todo ?? '', todo);
}

/** Without token.object: SoftHSM raises a counter in it at every login. */
export function contentOf(folder: string): Record<string, string> {
  const describe = (path: string): string => {
    const found = lstatSync(path);
    const bytes = found.isFile() ? readFileSync(path) : '';
    const hash = createHash('sha256').update(bytes).digest('hex');
    return `${found.mode} ${found.uid} ${found.gid} ${found.ino} ${hash}`;
  };
  const paths = globSync(join(folder, '**')).filter((path) => !path.endsWith('/token.object'));
  return Object.fromEntries(paths.map((path) => [path, describe(path)]));
}

export async function recoverable(): Promise<TestHost> {
  const host = new TestHost();
  const recovery = writePublic(join(host.folder, 'recovery.pub'), newHybridKey());
  const args = ['--ring', 'test', '--recovery', recovery];
  assert.equal((await host.run('provision', ...args)).exitCode, 0);
  return host;
}

export const intact = await recoverable();
intact.configure({});

/** A copy of a host that is well, to be broken. */
export function copy(): TestHost {
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

export const encryptionConfiguration = (
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

export function enable(
  host: TestHost,
  text = encryptionConfiguration(`unix://${host.socket}`),
): string {
  const path = join(host.folder, 'encryption-config.yaml');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
