// Everything that is made from what the built program says of itself: man pages
// and completion. The same program gives the same bytes.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DescribedCommand } from '../src/cli/describe.ts';
import type { FieldDescription } from '../src/config.ts';
import { bashCompletion } from './completion.ts';
import { kleidi8, kleidiYaml5, type ProgramFacts } from './manpages.ts';

const sources = fileURLToPath(new URL('../docs/man', import.meta.url));

/** @returns each document by its path below the folder that it is written to */
export function documents(program: string): Readonly<Record<string, string>> {
  const facts = factsOf(program);
  return {
    'man/kleidi.8': kleidi8(sources, facts),
    'man/kleidi.yaml.5': kleidiYaml5(sources, facts),
    'kleidi.bash-completion': bashCompletion(facts.commands),
  };
}

export function writeDocuments(program: string, folder: string): void {
  for (const [path, text] of Object.entries(documents(program))) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

function factsOf(program: string): ProgramFacts {
  const ask = (...args: string[]): unknown =>
    JSON.parse(execFileSync(process.execPath, [program, ...args, '--json'], { encoding: 'utf8' }));
  const { kleidi } = ask('version', '--config', '/nonexistent') as { kleidi: string };
  return {
    version: kleidi,
    commands: ask('help') as DescribedCommand[],
    fields: ask('config', 'fields') as FieldDescription[],
  };
}
