// Arguments by a table, and the help that is made from the same table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandHelp } from '../../src/cli/help.ts';
import {
  atMostOne,
  configOption,
  flag,
  jsonOption,
  oneOf,
  required,
  several,
  text,
  texts,
  together,
} from '../../src/cli/option.ts';
import { type Parsed, parse } from '../../src/cli/parse.ts';
import { command } from '../../src/cli/verb.ts';
import { KleidiError } from '../../src/errors.ts';

const options = {
  out: required(text('FILE', 'the new file')),
  only: texts('GROUP', 'only this', ['a', 'b']),
  key: text('KEY[=SHA256]', 'the key'),
  fast: flag('at once'),
  slow: flag('later'),
  json: jsonOption,
};
const syntax = {
  options,
  positionals: several('BUNDLE'),
  groups: [atMostOne('fast', 'slow'), together('key', 'slow')],
};

const read = (...args: string[]): Parsed<typeof options> => parse(args, syntax);

function refusal(...args: string[]): string {
  try {
    read(...args);
  } catch (error) {
    assert.ok(error instanceof KleidiError && error.code === 'usage');
    return error.message;
  }
  return 'taken';
}

test('what is given is read by name', () => {
  const given = read('x', 'y', '--out', '1', '--out=2', '--only', 'a', '--only', 'b', '--fast');
  assert.deepEqual(given.positionals, ['x', 'y']);
  assert.equal(given.given('out'), '2');
  assert.deepEqual(given.texts('only'), ['a', 'b']);
  assert.deepEqual([given.flag('fast'), given.flag('slow'), given.json], [true, false, false]);
  assert.equal(given.text('key'), undefined);
  assert.equal(given.configPath, '/etc/kleidi/kleidi.yaml');
  assert.equal(read('x', '--out', '1', '--config', 'c', '--json').configPath, 'c');
});

test('a name that the table lacks, or has as another kind, does not compile', () => {
  const given = read('x', '--out', '1');
  // @ts-expect-error: not in the table
  assert.equal(given.text('ouut'), undefined);
  // @ts-expect-error: a flag
  assert.equal(given.text('fast'), undefined);
  // @ts-expect-error: need not be given
  assert.equal(given.given('key'), '');
  // @ts-expect-error: a group of a name that is not in the table
  command({ summary: '', options, groups: [oneOf('fasst')], example: '', run: async () => 0 });
});

test('each kind of wrong use is named', () => {
  assert.equal(refusal('--out', '1'), 'missing argument: BUNDLE');
  assert.equal(refusal('x'), 'missing option: --out FILE');
  assert.equal(refusal('x', '--out'), 'missing value: --out FILE');
  assert.equal(refusal('x', '--out', '--fast'), 'missing value: --out FILE');
  assert.equal(refusal('x', '--config'), 'missing value: --config FILE');
  assert.equal(refusal('x', '--out', '1', '--Frob'), "unknown option '--Frob'");
  assert.doesNotMatch(refusal('x', '--out', '1', '--hunter2'), /hunter/);
  assert.equal(refusal('x', '--fast=1'), "option '--fast' does not take an argument");
  assert.match(refusal('x', '--out=1', '--only', 'c'), /^'c' is no GROUP: .* a, b$/);
  assert.equal(refusal('x', '--out=1', '--fast', '--slow'), 'only one of --fast, --slow');
  assert.match(refusal('x', '--out=1', '--slow'), /--key KEY\[=SHA256\] and --slow come together/);
});

test('positional arguments that a verb does not have are refused', () => {
  const none = { options: {}, positionals: undefined, groups: [oneOf('x')] };
  assert.throws(() => parse(['y'], none), {
    message: 'too many arguments: it takes no argument, given are 1',
  });
  assert.throws(() => parse([], none), { message: 'missing: one of x' });
});

test('help is made from the table, within 80 columns', () => {
  const verb = command({
    summary: 'for the list',
    notes: ['What it does,\n  in words.', { term: 'meaning' }],
    options: { ...options, config: configOption, 'a-name-that-is-far-too-long': flag('long') },
    positionals: several('BUNDLE'),
    groups: [atMostOne('fast', 'slow')],
    remarks: [`And ${'more '.repeat(20)}`],
    example: 'kleidi make',
    run: async () => 0,
  });
  assert.equal(
    commandHelp('make', verb),
    `usage: kleidi make BUNDLE... --out FILE [--only a|b]... [--key KEY[=SHA256]]
                   [--fast | --slow] [--json] [--config FILE]
                   [--a-name-that-is-far-too-long]

What it does, in words.

  term   meaning

  --out FILE      the new file
  --only GROUP    only this: a, b
  --key KEY       the key
  --fast          at once
  --slow          later
  --config FILE   default /etc/kleidi/kleidi.yaml
  --a-name-that-is-far-too-long
                  long

And more more more more more more more more more more more more more more more
more more more more more

example: kleidi make`,
  );
});
