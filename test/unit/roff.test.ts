// Help texts as man(7).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { block, filled, roff } from '../../packaging/roff.ts';

test('what roff would take for something else is escaped', () => {
  assert.equal(roff('a\\b --c'), 'a\\eb \\-\\-c');
  assert.equal(roff(".PP\n'x"), "\\&.PP\n\\&'x");
});

test('a paragraph is broken anew, and no break makes a request', () => {
  const text = filled(`${'word '.repeat(30)}\n.hidden ${'long-word '.repeat(20)}`);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
  for (let i = 60; i < 90; i += 1) {
    assert.doesNotMatch(filled(`${'x'.repeat(i)} .PP`), /^\./m);
  }
});

test('options are a list, with the lines that belong to each', () => {
  assert.equal(
    block('  --a FILE   first\n             and more\n  --b        second'),
    '.TP\n.B \\-\\-a FILE\nfirst and more\n.TP\n.B \\-\\-b\nsecond',
  );
  assert.equal(block('check   one\nprint   two'), '.TP\n.B check\none\n.TP\n.B print\ntwo');
});

test('an example stays as it is, all else is a paragraph', () => {
  assert.equal(block('example: kleidi a | b'), '.PP\nExample:\n.PP\n.nf\nkleidi a | b\n.fi');
  assert.equal(block('Some words\nof two lines.'), '.PP\nSome words of two lines.');
});
