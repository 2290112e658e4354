// Help texts as man(7).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filled, roff } from '../../packaging/roff.ts';

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
