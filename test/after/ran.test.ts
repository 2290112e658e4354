// After all other stages: every verb and action of the runbooks has been run in
// this run, with success.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandsThatSucceeded } from '../support/ran.ts';
import { describedCommands, describedFor, runbookCommands } from '../support/runbooks.ts';

const ran = commandsThatSucceeded();
const skip = ran === undefined ? 'only at the end of a whole run: npm test' : false;

test('every verb and action in the runbooks was run, and succeeded', { skip }, async () => {
  const described = await describedCommands();
  const named = runbookCommands().map((command) => describedFor(command, described)?.command ?? '');
  const missing = [...new Set(named)].filter((command) => !isRun(command));
  assert.deepEqual(missing, []);
});

/** A verb without actions may have an argument that looks like one. */
function isRun(command: string): boolean {
  return [...(ran ?? [])].some((each) => each === command || each.startsWith(`${command} `));
}
