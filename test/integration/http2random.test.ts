// Whatever frames come: kleidi's own HTTP/2 loses no more than the connection that sent them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { uint32 } from '../../src/http2/frame.ts';
import { assertServes } from '../support/http2asks.ts';
import { answer, Http2Server, whenWhole } from '../support/http2server.ts';
import { callHeaders, frame, frames, RawConnection } from '../support/rawhttp2.ts';

const server = await Http2Server.open();

const anyFrame = fc
  .record({
    type: fc.oneof(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 255 })),
    flags: fc.oneof(fc.constantFrom(0, 1, 4, 5, 0xc, 0x2d), fc.integer({ min: 0, max: 255 })),
    stream: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
    payload: fc.oneof(
      fc.constant(callHeaders('/')),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc.nat(2 ** 32 - 1).map(uint32),
    ),
  })
  .map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload));

test('whatever frames come, no more than their connection is lost', async () => {
  server.begin = (stream) => {
    whenWhole(stream, () => answer(stream, Buffer.alloc(1_000)));
  };
  await fc.assert(
    fc.asyncProperty(fc.array(anyFrame, { maxLength: 30 }), fc.boolean(), async (sent, isCut) => {
      const connection = RawConnection.greeted(server.path);
      const all = Buffer.concat(sent);
      // In parts too, as the kernel may give them.
      connection.send(isCut ? all.subarray(0, all.length / 2) : all);
      if (isCut) setImmediate(() => connection.send(all.subarray(all.length / 2)));
      connection.send(frame(frames.ping, 0, 0, Buffer.alloc(8, 1)));
      const isOver = (): boolean => connection.isClosed || connection.of(frames.ping).length > 0;
      for (let i = 0; i < 100 && !isOver(); i += 1) await sleep(1);
      connection.socket.destroy();
      await connection.closed;
      assert.deepEqual(server.failures, []);
    }),
    { numRuns: 500 },
  );
  await assertServes(server.path);
});
