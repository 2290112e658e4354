// Every verb as data, from the tables that it is made of: man page, completion and tests
// are made from this.
import { type Item, listedOptions, meaningOf, optionTerm, usageLine } from './help.ts';
import { configOption, flag, type OptionTable } from './option.ts';
import type { Command, Paragraph, Verbs } from './verb.ts';

export interface DescribedCommand {
  /** `key create`, or `status` where the verb has no actions. */
  readonly command: string;
  readonly summary: string;
  readonly usage: string;
  readonly notes: readonly Paragraph[];
  /** Of the help: each option with a line of its own, and what it means. */
  readonly listed: readonly Item[];
  readonly remarks: readonly Paragraph[];
  readonly example: string;
  /** All that may be given, with those that every verb has. */
  readonly options: OptionTable;
}

const general: OptionTable = { config: configOption, help: flag('the use, and an example') };

/** All that people may call, each once. */
export async function describeVerbs(verbs: Verbs): Promise<DescribedCommand[]> {
  const found = Object.entries(verbs).map(([name, load]) => commandsOf(name, load));
  return (await Promise.all(found)).flat();
}

async function commandsOf(name: string, load: Verbs[string]): Promise<DescribedCommand[]> {
  const verb = await load();
  if (verb.kind === 'internal') return [];
  if (verb.kind === 'command') return [describe(name, verb)];
  const actions = Object.entries(verb.actions);
  return Promise.all(
    actions.map(async ([word, action]) => describe(`${name} ${word}`, await action())),
  );
}

function describe(command: string, verb: Command): DescribedCommand {
  const { summary, notes, remarks, example } = verb;
  return {
    ...{ command, summary, usage: usageLine(command, verb), notes, remarks, example },
    listed: listedOptions(verb).map(([name, option]) => [
      optionTerm(name, option),
      meaningOf(option),
    ]),
    options: { ...general, ...verb.options },
  };
}
