// The commands of the runbooks, and what the program says of itself.
import { readFileSync } from 'node:fs';
import { kleidi } from './kleidi.ts';

export interface Described {
  readonly command: string;
  readonly options: Readonly<Record<string, string>>;
}

const pages = ['docs/operations.md', 'docs/troubleshooting.md', 'README.md'];

/** Every command in code spans and in indented or fenced lines. */
export function runbookCommands(): readonly string[] {
  return pages
    .flatMap((page) => commandsIn(readFileSync(page, 'utf8')))
    .filter((command) => /^kleidi [a-z]+( |$)/.test(command) && !/^kleidi keeps /.test(command));
}

export async function describedCommands(): Promise<readonly Described[]> {
  return JSON.parse((await kleidi(['help', '--json'])).stdout) as Described[];
}

/** The one that this line calls. */
export function describedFor(
  command: string,
  described: readonly Described[],
): Described | undefined {
  const [, verb = '', action = ''] = command.split(' ');
  return (
    described.find((each) => each.command === `${verb} ${action}`) ??
    described.find((each) => each.command === verb)
  );
}

function commandsIn(text: string): string[] {
  const spans = [...text.matchAll(/`(kleidi [^`]+)`/g)].map(([, command = '']) => command);
  const lines = [...text.matchAll(/^(?:\d\. )? {0,4}(kleidi .+)$/gm)].map(
    ([, command = '']) => command,
  );
  return [...spans, ...lines].map((command) =>
    command.replace(/\s+/g, ' ').replace(/ *[|#;].*/, ''),
  );
}
