// Every verb and action, as the program itself lists them: help, options,
// exit codes, and what is on standard output.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { DescribedCommand } from '../../src/cli/describe.ts';
import { TestHost } from '../support/host.ts';
import { kleidi, program } from '../support/kleidi.ts';

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
    assert.match(stdout, new RegExp(`^ {2}${command.split(' ')[0]} `, 'm'), command);
  }
  assert.equal((await kleidi([])).exitCode, 2);
});

test('a reader that has enough ends a command without a word', () => {
  for (const args of ['help --json', 'help']) {
    const script = `'${process.execPath}' ${program} ${args} | head -c 1; exit \${PIPESTATUS[0]}`;
    const { status, stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, ''], args);
  }
});

test('--help of each is on standard output, with its use and an example', async () => {
  for (const { command } of commands) {
    for (const flag of ['--help', '-h']) {
      const { exitCode, stdout, stderr } = await kleidi([...command.split(' '), flag]);
      assert.equal(exitCode, 0, command);
      assert.match(stdout, new RegExp(`^usage: kleidi ${command}\\b`), command);
      assert.match(stdout, /^example: kleidi /m, command);
      assert.equal(stderr, '', command);
    }
  }
});

test('each takes the options that its help names, and no other', async () => {
  for (const { command, options } of commands) {
    const given = Object.entries(options)
      .filter(([name]) => name !== 'help')
      .flatMap(([name, value]) => (value.kind === 'flag' ? [`--${name}`] : [`--${name}=x`]));
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

test('help VERB is the same as --help behind it, for groups too', async () => {
  const groups = commands.map(({ command }) => command.split(' ')[0] ?? '');
  for (const words of new Set([...groups, ...commands.map(({ command }) => command)])) {
    const behind = await kleidi([...words.split(' '), '--help']);
    assert.deepEqual(await kleidi(['help', ...words.split(' ')]), behind, words);
    for (const line of behind.stdout.split('\n').filter((each) => !each.startsWith('example: '))) {
      assert.ok(line.length <= 80, line);
    }
  }
  assert.equal((await kleidi(['help', 'frobnicate'])).exitCode, 2);
  for (const short of ['--version', '-V'])
    assert.deepEqual(await kleidi([short]), await kleidi(['version']));
});

test('--json is refused by a verb that prints none', async () => {
  const without = commands.filter(({ options }) => options['json'] === undefined);
  assert.deepEqual(
    without.map(({ command }) => command),
    ['serve', 'config check', 'apiserver config'],
  );
  for (const { command } of without) {
    const { exitCode, stderr } = await kleidi([...command.split(' '), '--json']);
    assert.equal(exitCode, 2, command);
    assert.match(stderr, /unknown option '--json'/);
  }
});

test('what is missing is named', async () => {
  const missing: readonly (readonly [string, string])[] = [
    ['config', 'missing action: one of check, print, fields'],
    ['snapshot scan', 'missing argument: FILE'],
    ['key promote', 'missing argument: FP'],
    ['recovery test --key x', 'missing argument: BUNDLE'],
    ['backup', 'missing option: --out FILE'],
    ['backup --out', 'missing value: --out FILE'],
    ['recovery pin x', 'missing options: --key FILE, --out FILE'],
    ['key import', 'missing: one of BUNDLE, --vault-version N'],
    ['key destroy x', 'missing: one of --scan FILE, --no-scan'],
  ];
  for (const [line, message] of missing) {
    const { exitCode, stdout, stderr } = await kleidi(line.split(' '));
    assert.equal(exitCode, 2, line);
    assert.equal(stdout, '', line);
    assert.ok(stderr.startsWith(`kleidi: error: ${message}\n`), stderr);
  }
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
