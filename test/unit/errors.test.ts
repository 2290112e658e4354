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

test('no value that can be thrown makes the making of an error fail', () => {
  const own = new KleidiError('refused', 'no', { hint: 'do' });
  assert.equal(KleidiError.from(own), own);
  for (const [thrown, message] of [
    ['text', 'text'],
    [undefined, 'undefined'],
    [null, 'null'],
    [5, '5'],
  ] as const) {
    const error = KleidiError.from(thrown);
    assert.equal(error.code, 'internal');
    assert.equal(error.message, message);
    assert.equal(error.publicText, errorKinds.internal.health);
  }
});

test('every code ends the command with 1, 2 or 78, and only bad requests speak for themselves', () => {
  // Whoever adds a code here promises that its messages name no path of the host.
  const speaking = [
    'plaintext-invalid',
    'ciphertext-invalid',
    'request-invalid',
    'key-id-invalid',
    'key-id-mismatch',
    'key-id-foreign',
    'kek-unknown',
    'kek-retired',
    'queue-full',
    'deadline',
    'cancelled',
  ];
  assert.deepEqual(
    codes.filter((code) => errorKinds[code].health === undefined),
    speaking,
  );
  for (const code of codes) assert.ok([1, 2, 78].includes(errorKinds[code].exit), code);
});

test('an error tells its code, hint and cause, and has no cause where none was given', () => {
  const cause = new Error('inner');
  const error = new KleidiError('refused', 'no', { hint: 'do this', cause });
  assert.deepEqual([error.code, error.hint, error.cause], ['refused', 'do this', cause]);
  assert.equal('cause' in new KleidiError('refused', 'no'), false);
  assert.equal(new KleidiError('refused', 'no').hint, undefined);
});
