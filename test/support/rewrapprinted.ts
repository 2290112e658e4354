// The offline half of a playbook in two runs: the command that the first has printed, where the
// folder of the ceremony was brought. The controller does not have that folder.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { kleidi } from './kleidi.ts';
import { passphrase } from './recoveryset.ts';

interface Folders {
  /** Of the controller. */
  readonly ceremony: string;
  readonly offline: string;
  /** File that the command makes; it is brought back into `ceremony`. */
  readonly bundle: string;
}

/** @returns what the command prints */
export async function rewrapPrinted(
  output: string,
  { ceremony, offline, bundle }: Folders,
): Promise<string> {
  const [command = assert.fail(output)] = /kleidi recovery rewrap [^"]*/.exec(output) ?? [];
  const [made, brought] = [join(offline, bundle), join(ceremony, bundle)];
  for (const path of [made, brought]) rmSync(path, { force: true });
  cpSync(ceremony, offline, { recursive: true });
  const words = command.split(' ').slice(1);
  const args = words.map((word) =>
    /\.(json|key|bundle|request)\b/.test(word) ? join(offline, word) : word,
  );
  const ran = await kleidi([...args, '--passphrase-fd', '0'], { input: passphrase });
  assert.equal(ran.exitCode, 0, ran.stderr);
  cpSync(made, brought);
  return ran.stdout;
}
