// kleidi's own HTTP/2 is asked by h2spec for each rule of RFC 9113 and RFC 7541.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Http2Server } from '../support/http2server.ts';
import { missingTool } from '../support/skip.ts';

/** Of RFC 7540 alone: RFC 9113 has no priorities, and asks nothing of who is told of them. */
const ofPriorities = [
  'Sends HEADERS frame that depend on itself',
  'Sends PRIORITY frame that depend on itself',
];

test('h2spec finds all rules kept but those on priorities', {
  skip: missingTool('go'),
}, async (t) => {
  const build = fileURLToPath(new URL('../http2spec/build', import.meta.url));
  const program = execFileSync(build, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
  const server = await Http2Server.open();
  const port = String(await server.listenTcp());
  const run = promisify(execFile)(program, ['-h', '127.0.0.1', '-p', port, '-o', '2']);
  // It exits with 1 where a rule is not kept.
  const text = await run.then(
    ({ stdout }) => stdout,
    ({ stdout }: { stdout: string }) => stdout,
  );
  const broken = [...text.matchAll(/^ *× \d+: (.*)$/gm)].map(([, rule = '']) => rule);
  const [, asked] = /(\d+) tests, \d+ passed/.exec(text) ?? [];
  t.diagnostic(`${asked} rules asked`);
  assert.ok(Number(asked) > 140, text);
  assert.deepEqual([...new Set(broken)].sort(), [...ofPriorities].sort(), text);
  assert.deepEqual(server.failures, []);
});
