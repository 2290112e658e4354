// The man pages: docs/man with what the program says of itself put in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DescribedCommand } from '../src/cli/describe.ts';
import type { Item } from '../src/cli/help.ts';
import type { Paragraph } from '../src/cli/verb.ts';
import type { FieldDescription } from '../src/config.ts';
import { filled, roff } from './roff.ts';

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

function verbSections(commands: readonly DescribedCommand[]): string {
  return commands.map(section).join('\n');
}

function section(described: DescribedCommand): string {
  const { command, usage, notes, listed, remarks, example } = described;
  return [
    `.SS kleidi ${command}`,
    `.nf\n${roff(usage)}\n.fi`,
    ...notes.map(paragraph),
    ...listed.map(item),
    ...remarks.map(paragraph),
    `.PP\nExample:\n.PP\n.nf\n${roff(example)}\n.fi`,
  ].join('\n');
}

function paragraph(text: Paragraph): string {
  if (typeof text === 'string') return `.PP\n${filled(text)}`;
  return Object.entries(text).map(item).join('\n');
}

function item([term, meaning]: Item): string {
  return `.TP\n.B ${roff(term)}\n${filled(meaning)}`;
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
