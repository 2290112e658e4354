// The commands in the runbooks: each is one that the program has, with options that it
// takes. That each has been run: test/after/ran.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describedCommands, describedFor, runbookCommands } from '../support/runbooks.ts';

test('every command in the runbooks is one of the program, with its options', async () => {
  const commands = runbookCommands();
  const described = await describedCommands();
  assert.ok(commands.length > 40, `only ${commands.length} found`);
  for (const command of commands) {
    const known = describedFor(command, described);
    assert.ok(known !== undefined, command);
    for (const [, option = ''] of command.matchAll(/ --([a-z-]+)/g)) {
      assert.ok(Object.hasOwn(known.options, option), `${command}: --${option}`);
    }
  }
});
