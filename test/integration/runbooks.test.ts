// The commands in docs/operations.md and README.md: each is one that the program
// has, with options that it takes, and each verb is run by some other test.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { kleidi } from '../support/kleidi.ts';

interface Described {
  readonly command: string;
  readonly options: Readonly<Record<string, string>>;
}

const described = JSON.parse((await kleidi(['help', '--json'])).stdout) as Described[];
const pages = ['docs/operations.md', 'README.md'].map((page) => readFileSync(page, 'utf8'));
const tests = globSync('test/**/*.test.ts')
  .filter((file) => !file.endsWith('runbooks.test.ts'))
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n');

/** In code spans and in indented or fenced lines. */
function commandsIn(text: string): string[] {
  const spans = [...text.matchAll(/`(kleidi [^`]+)`/g)].map(([, command = '']) => command);
  const lines = [...text.matchAll(/^(?:\d\. )? {0,4}(kleidi .+)$/gm)].map(
    ([, command = '']) => command,
  );
  return [...spans, ...lines].map((command) =>
    command.replace(/\s+/g, ' ').replace(/ *[|#;].*/, ''),
  );
}

function describedFor(command: string): Described | undefined {
  const [, verb = '', action = ''] = command.split(' ');
  return (
    described.find((each) => each.command === `${verb} ${action}`) ??
    described.find((each) => each.command === verb)
  );
}

const commands = pages
  .flatMap(commandsIn)
  .filter((command) => /^kleidi [a-z]+( |$)/.test(command) && !/^kleidi keeps /.test(command));

test('every command in the runbooks is one of the program, with its options', () => {
  assert.ok(commands.length > 40, `only ${commands.length} found`);
  for (const command of commands) {
    const known = describedFor(command);
    assert.ok(known !== undefined, command);
    for (const [, option = ''] of command.matchAll(/ --([a-z-]+)/g)) {
      assert.ok(Object.hasOwn(known.options, option), `${command}: --${option}`);
    }
  }
});

test('every verb and action in the runbooks is run by a test', () => {
  for (const { command } of new Set(
    commands.map(describedFor).filter((each) => each !== undefined),
  )) {
    const words = command.split(' ');
    const quoted = new RegExp(words.map((word) => `'${word}'`).join(', '));
    const typed = new RegExp(`kleidi ${command}`);
    // `kleidi apiserver` is called through a function of its own test.
    const own = words[0] === 'apiserver' ? new RegExp(`apiserver\\('${words[1]}'`) : quoted;
    assert.ok(quoted.test(tests) || typed.test(tests) || own.test(tests), command);
  }
});
