// From words to the verb that they name. Each is loaded only when it is called.
import { usage } from '../errors.ts';
import { print } from '../terminal.ts';
import { commandHelp, groupHelp, type Item } from './help.ts';
import type { Command, CommandGroup, Verbs } from './verb.ts';

/** @returns the exit code @throws KleidiError usage, and what the verb throws */
export async function dispatch(
  verbs: Verbs,
  [name = '', ...args]: readonly string[],
): Promise<number> {
  const load = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (load === undefined) throw usage(`unknown verb '${name}'`);
  const verb = await load();
  if (verb.kind === 'command') return runCommand(name, verb, args);
  if (verb.kind === 'group') return runAction(name, verb, args);
  return isHelpWanted(args) ? show(`usage: kleidi ${name}\n\n${verb.note}`) : verb.run();
}

function runCommand(
  name: string,
  command: Command,
  args: readonly string[],
): Promise<number> | number {
  return isHelpWanted(args) ? show(commandHelp(name, command)) : call(name, command, args);
}

async function call(name: string, command: Command, args: readonly string[]): Promise<number> {
  const { configPath, run } = command.prepare(args);
  // A command with --check only looks.
  if (!command.changes || args.includes('--check')) return run();
  const { audited } = await import('../admin/audit.ts');
  return audited({ command: name, args, configPath }, run);
}

async function runAction(
  name: string,
  group: CommandGroup,
  args: readonly string[],
): Promise<number> {
  const [word = '', ...rest] = args;
  if (isHelpWanted([word])) return show(groupHelp(name, group, await summariesOf(group.actions)));
  const load = Object.hasOwn(group.actions, word) ? group.actions[word] : undefined;
  if (load !== undefined) return runCommand(`${name} ${word}`, await load(), rest);
  const list = `one of ${Object.keys(group.actions).join(', ')}`;
  throw usage(word === '' ? `missing action: ${list}` : `unknown action '${word}': ${list}`);
}

/** Of all that people may call. */
export async function summariesOf(verbs: Verbs): Promise<Item[]> {
  const items = Object.entries(verbs).map(async ([name, load]): Promise<Item[]> => {
    const verb = await load();
    return verb.kind === 'internal' ? [] : [[name, verb.summary]];
  });
  return (await Promise.all(items)).flat();
}

function isHelpWanted(args: readonly string[]): boolean {
  return args.includes('--help') || args.includes('-h');
}

function show(text: string): number {
  print(text);
  return 0;
}
