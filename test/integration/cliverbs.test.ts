// Every verb and action, as the program itself lists them: help, options,
// exit codes, and what is on standard output.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { DescribedCommand } from '../../src/cli/describe.ts';
import { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';

const commands = JSON.parse((await kleidi(['help', '--json'])).stdout) as DescribedCommand[];

test('the list is the one of the program', () => {
  const names = commands.map(({ command }) => command);
  assert.equal(new Set(names).size, names.length);
  for (const known of ['serve', 'doctor', 'key create', 'config fields', 'ring digest']) {
    assert.ok(names.includes(known), known);
  }
});

test('every verb is in the help of kleidi itself', async () => {
  const { stdout, exitCode } = await kleidi(['--help']);
  assert.equal(exitCode, 0);
  for (const { command } of commands) {
    assert.match(stdout, new RegExp(`^ {2}(?:[a-z]+, )*${command.split(' ')[0]}\\b`, 'm'), command);
  }
  assert.equal((await kleidi([])).exitCode, 2);
});

test('--help of each is on standard output, with its use and an example', async () => {
  for (const { command } of commands) {
    for (const flag of ['--help', '-h']) {
      const { exitCode, stdout, stderr } = await kleidi([...command.split(' '), flag]);
      assert.equal(exitCode, 0, command);
      assert.match(stdout, new RegExp(`^(?:usage:| {6}) kleidi ${command}\\b`, 'm'), command);
      assert.match(stdout, /^example: kleidi /m, command);
      assert.equal(stderr, '', command);
    }
  }
});

test('each takes the options that its help names, and no other', async () => {
  for (const { command, options } of commands) {
    const given = Object.entries(options)
      .filter(([name]) => name !== 'help')
      .flatMap(([name, value]) => (value === '' ? [`--${name}`] : [`--${name}=x`]));
    const { exitCode, stdout, stderr } = await kleidi([
      ...command.split(' '),
      ...given,
      '--frobnicate',
    ]);
    assert.equal(exitCode, 2, command);
    assert.equal(stdout, '', command);
    assert.match(stderr, /^kleidi: error: unknown option '--frobnicate'/, command);
    assert.match(stderr, /\nkleidi: hint: .*--help/, command);
  }
});

/** What each file gives to parse(), over as many lines as it likes. */
const parseCall = /\bparse\(\s*(?:args|rest),\s*(?:\{([^}]*)\}|(\w+))/g;
const declared = /'?([a-z-]+)'?: '(?:text|flag|texts)'/g;
/** Every verb has these. */
const general = ['json', 'config', 'help'];

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, name = '']) => name);
}

/** Options that several verbs share are spread into the list by their name. */
function optionsRead(text: string): string[] {
  // A name alone is a list that is shared as a whole.
  const lists = [...text.matchAll(parseCall)].map(([, list, name]) => list ?? `...${name}`);
  const shared = lists
    .flatMap((list) => namesIn(list, /\.\.\.(\w+)/g))
    .flatMap((name) => {
      const [definition = ''] = sources.flatMap((source) => namesIn(source, sharedList(name)));
      assert.notEqual(definition, '', name);
      return namesIn(definition, declared);
    });
  return [...shared, ...lists.flatMap((list) => namesIn(list, declared))];
}

const sharedList = (name: string): RegExp => new RegExp(`const ${name} = \\{([^}]*)\\}`, 'g');
const sources = globSync('src/{cli,admin}/**/*.ts').map((file) => readFileSync(file, 'utf8'));

/** As it is printed: parts of it may be shared. */
async function helpOf(source: string): Promise<string> {
  const [, words = ''] = /help: `usage: kleidi ((?:[a-z-]+ ?){1,2})/.exec(source) ?? [];
  const names = commands.map(({ command }) => command);
  const name = names.find((each) => each === words.trim()) ?? words.split(' ')[0] ?? '';
  return (await kleidi([...name.split(' '), '--help'])).stdout;
}

test('usage line, help and what a verb reads name the same options', async () => {
  const verbs = sources.filter((text) => /help: `usage:/.test(text) && /\bparse\(/.test(text));
  assert.ok(verbs.length >= 28, `${verbs.length} verbs`);
  const faults: string[] = [];
  const check = (isRight: boolean, fault: string): void => {
    if (!isRight) faults.push(fault);
  };
  for (const text of verbs) {
    const help = await helpOf(text);
    const [usage = ''] = help.split('\n\n');
    const read = optionsRead(text);
    assert.ok([...text.matchAll(parseCall)].length > 0, usage);
    const described = new Set(namesIn(help, /--([a-z][a-z-]*)/g));
    const inUsage = new Set(namesIn(usage, /--([a-z][a-z-]*)/g));
    for (const name of read) {
      check(described.has(name), `--${name} is not in the help: ${usage}`);
      // [OPTIONS] stands for those that have a line of their own.
      const isListed = usage.includes('[OPTIONS]') && new RegExp(`^ +--${name}\\b`, 'm').test(help);
      check(inUsage.has(name) || isListed, `--${name} is not in the usage line: ${usage}`);
    }
    for (const name of inUsage) {
      check([...read, ...general].includes(name), `--${name} is not read: ${usage}`);
    }
  }
  assert.deepEqual(faults, []);
});

test('an unknown verb or action is exit 2 and names what was meant', async () => {
  const verbs = new Set(commands.map(({ command }) => command.split(' ')[0] ?? ''));
  for (const args of [['frobnicate'], ['--frob'], ['Status'], ['constructor'], ['__proto__']]) {
    const { exitCode, stdout, stderr } = await kleidi(args);
    assert.equal(exitCode, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.ok(stderr.includes(`unknown verb '${args[0]}'`), stderr);
  }
  for (const verb of verbs) {
    if (commands.some(({ command }) => command === verb)) continue;
    for (const action of ['frobnicate', 'constructor', '']) {
      const { exitCode, stderr } = await kleidi([verb, ...(action === '' ? [] : [action])]);
      assert.equal(exitCode, 2, `${verb} ${action}`);
      if (action !== '') assert.match(stderr, new RegExp(`unknown action '${action}'`), verb);
    }
  }
});

/** They serve for ever, or change the API server of the machine under test. */
const notHere = /^(serve|apiserver)\b/;

test('--json is exactly one object on standard output, or nothing and an error', async () => {
  const host = await TestHost.provisioned();
  const daemon = await host.serve();
  const good = new Set<string>();
  for (const { command, options } of commands.filter((each) => !notHere.test(each.command))) {
    if (options['json'] === undefined) continue;
    const { exitCode, stdout, stderr } = await host.run(...command.split(' '), '--json');
    assert.ok(exitCode !== null && [0, 1, 2, 78].includes(exitCode), `${command}: ${exitCode}`);
    if (stdout === '') assert.match(stderr, /kleidi: error: .+\n(.*\n)*kleidi: hint: /, command);
    else {
      assert.ok(typeof JSON.parse(stdout) === 'object', command);
      assert.match(stdout, /^[^\n]+\n$/, command);
      good.add(command);
    }
  }
  for (const known of ['status', 'doctor', 'key list', 'ring digest', 'version']) {
    assert.ok(good.has(known), known);
  }
  await daemon.stop();
});

test('a configuration that is not valid is exit 78 for every verb that reads it', async () => {
  const host = new TestHost({ frob: 1 });
  for (const args of [['serve'], ['status'], ['provision'], ['key', 'list'], ['ring', 'show']]) {
    const { exitCode, stdout, stderr } = await host.run(...args);
    assert.equal(exitCode, 78, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, /frob: unknown field/);
  }
});
