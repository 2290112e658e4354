// Every verb as data, from the tables that find it: man page, completion and
// tests are made from this, so that none of them can fall behind.
import type { Actions, Verb } from './verb.ts';

export interface DescribedCommand {
  /** `key create`, or `status` where the verb has no actions. */
  readonly command: string;
  readonly help: string;
  /** With what stands behind each in the help: FILE, PUB, or nothing. */
  readonly options: Readonly<Record<string, string>>;
  readonly choices: Readonly<Record<string, readonly string[]>>;
}

/** All that people may call, each once. */
export async function describeVerbs(verbs: Actions): Promise<DescribedCommand[]> {
  const found: DescribedCommand[] = [];
  for (const [name, load] of Object.entries(verbs)) {
    const verb = await load();
    if (verb.hidden !== true) found.push(...(await commandsOf(name, verb)));
  }
  return found;
}

async function commandsOf(name: string, verb: Verb): Promise<DescribedCommand[]> {
  if (verb.actions !== undefined) {
    const actions = Object.entries(verb.actions);
    return Promise.all(
      actions.map(async ([word, load]) => describe(`${name} ${word}`, await load())),
    );
  }
  const words = actionsIn(name, verb.help);
  return words.length === 0
    ? [describe(name, verb)]
    : words.map((word) => describe(`${name} ${word}`, verb));
}

/** Actions that share one file and one help: the usage has a line for each. */
function actionsIn(name: string, help: string): string[] {
  const use = new RegExp(`^kleidi ${name} ([a-z][a-z-]*)`);
  const words = usesIn(help).map((line) => use.exec(line)?.[1] ?? '');
  return [...new Set(words.filter((word) => word !== ''))];
}

/** The usage block, one text for each `kleidi …`. */
function usesIn(help: string): string[] {
  const [block = ''] = help.split('\n\n');
  return block
    .replace('usage: ', '')
    .split(/\n *(?=kleidi )/)
    .map((use) => use.replace(/\s+/g, ' '));
}

/** Of several uses in one help each has its own options. */
function describe(command: string, { help, choices = {} }: Verb): DescribedCommand {
  const uses = usesIn(help);
  const own = uses.filter((use) => use.startsWith(`kleidi ${command}`));
  const listed = uses.length > 1 ? [] : help.split('\n').filter((line) => /^ +--/.test(line));
  const option = /--([a-z][a-z-]*)(?:[ =]([A-Z]+))?/;
  const named = own.flatMap((use) => [...use.matchAll(new RegExp(option, 'g'))]);
  const options: Record<string, string> = { config: 'FILE', help: '' };
  for (const [, name = '', value = ''] of [
    ...named,
    ...listed.flatMap((line) => [option.exec(line) ?? []]),
  ]) {
    if (name !== '') options[name] ||= value;
  }
  return { command, help, options, choices };
}
