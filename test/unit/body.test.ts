// A body is what its parts are, however it comes, and is kept in one piece of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Body } from '../../src/kms/body.ts';

const parts = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 40 });

test('all parts together are the body, also where their memory is used again', () => {
  fc.assert(
    fc.property(parts, fc.boolean(), (given, isOver) => {
      const body = new Body();
      given.forEach((part, at) => {
        const memory = Buffer.from(part);
        const isLast = isOver && at === given.length - 1;
        body.add(memory, isLast);
        if (!isLast) memory.fill(0xee);
      });
      assert.equal(body.bytes, given.flatMap((part) => [...part]).length);
      assert.deepEqual(
        [...body.take()],
        given.flatMap((part) => [...part]),
      );
      assert.equal(body.bytes, 0);
      assert.equal(body.take().length, 0);
    }),
  );
});

test('a body of one part is that part, and many small ones share one buffer', () => {
  const one = Buffer.from('whole');
  const body = new Body();
  body.add(one, true);
  assert.equal(body.take().buffer, one.buffer);
  for (let i = 0; i < 60_000; i += 1) body.add(Buffer.from([i]), false);
  assert.ok(body.take().buffer.byteLength <= 2 * 60_000);
});
