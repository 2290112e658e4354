// The one table of errors, and the page that lists it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { type ErrorCode, errorKinds, KleidiError } from '../../src/errors.ts';

const codes = Object.keys(errorKinds) as ErrorCode[];

test('every code has a gRPC status that exists', () => {
  for (const code of codes) assert.equal(typeof status[errorKinds[code].grpc], 'number', code);
});

test('docs/errors.md lists exactly the codes, with status and exit code', () => {
  const page = readFileSync('docs/errors.md', 'utf8');
  const rows = [...page.matchAll(/^\| `([a-z0-9-]+)` \| (\w+) \| (\d+) \|/gm)];
  const listed = rows.map(([, code, grpc, exit]) => [code, grpc, Number(exit)]);
  const due = codes.map((code) => [code, errorKinds[code].grpc, errorKinds[code].exit]);
  assert.deepEqual(listed, due);
});

test('a client is never told the message of a fault of this host', () => {
  for (const code of codes) {
    const { publicText, kind } = new KleidiError(code, 'ring file /var/lib/secret/path');
    if (kind.health !== undefined) assert.ok(!publicText.includes('/var'), code);
  }
});

test('what is no KleidiError becomes one that says so and keeps its cause', () => {
  const cause = new TypeError('boom');
  const error = KleidiError.from(cause);
  assert.equal(error.code, 'internal');
  assert.equal(error.cause, cause);
});
