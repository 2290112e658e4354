// Everything that is made from what the built program says of itself: man pages
// and completion. The same program gives the same bytes.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DescribedCommand } from '../src/cli/describe.ts';
import type { FieldDescription } from '../src/config.ts';
import { bashCompletion } from './completion.ts';
import { kleidi8, kleidiYaml5, type ProgramFacts } from './manpages.ts';

const sources = fileURLToPath(new URL('../docs/man', import.meta.url));

export interface Documents {
  readonly kleidi8: string;
  readonly kleidiYaml5: string;
  readonly completion: string;
}

export function documents(program: string): Documents {
  const facts = factsOf(program);
  return {
    kleidi8: kleidi8(sources, facts),
    kleidiYaml5: kleidiYaml5(sources, facts),
    completion: bashCompletion(facts.commands),
  };
}

export function writeDocuments(program: string, folder: string): void {
  const made = documents(program);
  mkdirSync(join(folder, 'man'), { recursive: true });
  writeFileSync(join(folder, 'man/kleidi.8'), made.kleidi8);
  writeFileSync(join(folder, 'man/kleidi.yaml.5'), made.kleidiYaml5);
  writeFileSync(join(folder, 'kleidi.bash-completion'), made.completion);
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
