// The help text of a verb, from its tables.
import { asTyped, type Option, type Syntax } from './option.ts';
import type { Command, CommandGroup, Paragraph } from './verb.ts';

/** Of a terminal that nobody has widened. */
const maxColumns = 80;
/** A longer name has its meaning on the next line. */
const maxNameColumns = 24;

/** @param command as it is typed: `key create` */
export function commandHelp(command: string, verb: Command): string {
  const { notes, remarks, example } = verb;
  const listed = listedOptions(verb).map(
    ([name, option]): Item => [optionTerm(name, option), meaningOf(option)],
  );
  return [
    `usage: ${usageLine(command, verb, 7)}`,
    ...notes.map(paragraphText),
    ...(listed.length > 0 ? [itemList(listed)] : []),
    ...remarks.map(paragraphText),
    `example: ${example}`,
  ].join('\n\n');
}

/** @param summaries of each action, in order */
export function groupHelp(name: string, group: CommandGroup, summaries: readonly Item[]): string {
  const each = `${summaries.length > 1 ? 'Each' : 'It'} has --help with an example.`;
  return [
    `usage: kleidi ${name} ACTION [OPTIONS]`,
    itemList(summaries),
    paragraphText(`${each} ${group.note}`.trim()),
    `example: ${group.example}`,
  ].join('\n\n');
}

/** A term and what it means. */
export type Item = readonly [term: string, meaning: string];

export function itemList(items: readonly Item[]): string {
  const lengths = items.map(([term]) => term.length).filter((length) => length <= maxNameColumns);
  const indent = 2 + Math.max(...lengths, 0) + 3;
  return items.map((item) => itemText(item, indent)).join('\n');
}

function itemText([term, meaning]: Item, indent: number): string {
  const lines = wrapped(meaning.split(' '), maxColumns - indent);
  const isLong = term.length > indent - 5;
  const first = `  ${term}`;
  const [head = '', ...rest] = isLong ? ['', ...lines] : lines;
  return [
    `${first.padEnd(indent)}${head}`.trimEnd(),
    ...rest.map((line) => `${' '.repeat(indent)}${line}`),
  ].join('\n');
}

/** Those that have a line of their own: what is general is told once, by `kleidi --help`. */
export function listedOptions({ options }: Syntax): [string, Option][] {
  return Object.entries(options).filter(
    ([, option]) => !(option.kind === 'flag' && option.isGeneral === true),
  );
}

/** What its value may have behind it is told by the usage line. */
export function optionTerm(name: string, option: Option): string {
  return option.kind === 'flag' ? `--${name}` : `--${name} ${option.value.replace(/\[.*/, '')}`;
}

export function meaningOf(option: Option): string {
  const choices = option.kind === 'flag' ? undefined : option.choices;
  return choices === undefined ? option.meaning : `${option.meaning}: ${choices.join(', ')}`;
}

/**
 * All that may be typed, over as many lines as it needs.
 * @param column where its first line begins
 */
export function usageLine(command: string, syntax: Syntax, column = 0): string {
  const start = `kleidi ${command} `;
  const indent = column + start.length;
  const lines = wrapped(usageParts(syntax), maxColumns - indent);
  return `${start}${lines.join(`\n${' '.repeat(indent)}`)}`.trimEnd();
}

function usageParts(syntax: Syntax): string[] {
  const { positionals, options, groups } = syntax;
  const names = [...(positionals === undefined ? [] : [positionals.name]), ...Object.keys(options)];
  return names.flatMap((name) => {
    const group = groups.find((each) => each.names.includes(name));
    if (group === undefined) return usagePart(name, syntax);
    if (group.names[0] !== name) return [];
    const typed = group.names.map((each) => asTyped(each, syntax));
    const inner = typed.join(group.kind === 'together' ? ' ' : ' | ');
    return group.isRequired ? `(${inner})` : `[${inner}]`;
  });
}

function usagePart(name: string, syntax: Syntax): string {
  const { positionals, options } = syntax;
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (option === undefined) {
    const { least = 1, most = 1 } = positionals ?? {};
    return `${least === 0 ? `[${name}]` : name}${most > 1 ? '...' : ''}`;
  }
  if (option.kind === 'flag') return `[--${name}]`;
  const isShort = option.choices !== undefined && option.choices.length <= 3;
  const value = isShort ? option.choices.join('|') : option.value;
  const typed = `--${name} ${value}`;
  const more = option.kind === 'texts' ? '...' : '';
  return `${option.isRequired === true ? typed : `[${typed}]`}${more}`;
}

function paragraphText(paragraph: Paragraph): string {
  if (typeof paragraph !== 'string') return itemList(Object.entries(paragraph));
  return wrapped(paragraph.split(' '), maxColumns).join('\n');
}

function wrapped(parts: readonly string[], columns: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const longer = `${lines.at(-1) ?? ''} ${part}`;
    if (lines.length > 0 && longer.length <= columns) lines.splice(-1, 1, longer);
    else lines.push(part);
  }
  return lines;
}
