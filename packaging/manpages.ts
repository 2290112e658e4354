// The man pages: docs/man with what the program says of itself put in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DescribedCommand } from '../src/cli/describe.ts';
import type { FieldDescription } from '../src/config.ts';
import { block, filled, roff } from './roff.ts';

export interface ProgramFacts {
  readonly version: string;
  readonly commands: readonly DescribedCommand[];
  readonly fields: readonly FieldDescription[];
}

/** @param sources docs/man */
export function kleidi8(sources: string, { version, commands }: ProgramFacts): string {
  return completed(join(sources, 'kleidi.8'), { VERSION: version, VERBS: verbSections(commands) });
}

/** @param sources docs/man */
export function kleidiYaml5(sources: string, { version, fields }: ProgramFacts): string {
  const FIELDS = fields.map(fieldText).join('\n');
  return completed(join(sources, 'kleidi.yaml.5'), { VERSION: version, FIELDS });
}

function completed(path: string, parts: Readonly<Record<string, string>>): string {
  return readFileSync(path, 'utf8').replace(/@([A-Z]+)@/g, (mark, name: string) => {
    const part = parts[name];
    if (part === undefined) throw new Error(`${path}: nothing to put in for ${mark}`);
    return part;
  });
}

/** Actions that share one help have one section. */
function verbSections(commands: readonly DescribedCommand[]): string {
  const byHelp = Map.groupBy(commands, ({ help }) => help);
  return [...byHelp].map(([help, [first]]) => section(help, first?.command ?? '')).join('\n');
}

function section(help: string, command: string): string {
  const [use = '', ...blocks] = help.trim().split(/\n\n+/);
  const uses = use.replace(/^usage: /, '').replace(/^ {7}/gm, '');
  const shared = uses.split('\n').filter((line) => line.startsWith('kleidi ')).length > 1;
  const title = shared ? command.split(' ')[0] : command;
  return [`.SS kleidi ${title}`, '.nf', roff(uses), '.fi', ...blocks.map(block)].join('\n');
}

function fieldText({ name, doc, allowed, ...field }: FieldDescription): string {
  // The schema's default of the module depends on the machine that builds.
  const fallback =
    name === 'pkcs11.module' ? 'the first SoftHSM found' : String(field.default) || 'none';
  return [
    '.TP',
    `.B ${roff(name)}`,
    filled(doc),
    '.br',
    filled(`Allowed: ${allowed}.`),
    '.br',
    filled(`Default: ${fallback}`),
  ].join('\n');
}
