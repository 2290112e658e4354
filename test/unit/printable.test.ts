// What is made harmless before it reaches a terminal, and what is left as it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oneLine, printable, printableJson } from '../../src/printable.ts';

const hostile = '\x1b]0;title\x07 \x9b31m \x7f \r \u202egpj.exe \u2066 \u200f \x00';

test('no control character and no change of direction is left', () => {
  for (const made of [printable(hostile), oneLine(hostile), printableJson(`"${hostile}"`)]) {
    assert.doesNotMatch(made, /[\p{Cc}\u202a-\u202e\u2066-\u2069\u200f]/u);
  }
  assert.equal(printable('\x1b[2J'), '\\x1b[2J');
});

test('lines, tabs and other scripts stay', () => {
  const text = 'one\n\ttwo: Schlüssel, κλειδί, 鍵, 🔑';
  assert.equal(printable(text), text);
  assert.equal(oneLine(text), 'one two: Schlüssel, κλειδί, 鍵, 🔑');
});

test('JSON is the same value afterwards', () => {
  const value = { text: `${hostile}\n\t"` };
  assert.deepEqual(JSON.parse(printableJson(JSON.stringify(value))), value);
});
