// kleidi's own HTTP/2 at its bounds: clients that take little, read nothing, or send what no
// library would. h2spec asks for the rules themselves (http2spec.test.ts).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, setting, uint32 } from '../../src/http2/frame.ts';
import type { Stream } from '../../src/http2/stream.ts';
import { ask, assertServes, endOf, until } from '../support/http2asks.ts';
import { answer, Http2Server, whenWhole } from '../support/http2server.ts';
import {
  callHeaders,
  endHeaders,
  endStream,
  frame,
  frames,
  preface,
  RawConnection,
} from '../support/rawhttp2.ts';

const server = await Http2Server.open();
const pings = 200_000;

function settings(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

function bodyOf(connection: RawConnection, stream: number): Buffer {
  const parts = connection.of(frames.data).filter((each) => each.stream === stream);
  return Buffer.concat(parts.map((each) => each.payload));
}

test('an answer comes in the parts that the windows of the client let through', async () => {
  const body = Buffer.alloc(100_000, 'kleidi');
  server.begin = (stream) => {
    whenWhole(stream, () => answer(stream, body));
  };
  const connection = RawConnection.greeted(server.path, settings(setting.initialWindowSize, 10));
  connection.send(ask(1), ask(3));
  await until(() => bodyOf(connection, 3).length === 10, 'the first 10 bytes');
  assert.equal(bodyOf(connection, 1).length, 10);
  // Of one stream, then of both by a new setting, which the window of the connection then holds up.
  connection.send(frame(frames.windowUpdate, 0, 1, uint32(20)));
  await until(() => bodyOf(connection, 1).length === 30, 'the 20 bytes more');
  connection.send(frame(frames.settings, 0, 0, settings(setting.initialWindowSize, 200_000)));
  await until(
    () =>
      connection.of(frames.data).reduce((sum, { payload }) => sum + payload.length, 0) === 65_535,
    'all of the window of the connection',
  );
  assert.equal(endOf(connection, 1), undefined);
  connection.send(frame(frames.windowUpdate, 0, 0, uint32(200_000)));
  for (const stream of [1, 3]) {
    await until(() => endOf(connection, stream) !== undefined, `the end of stream ${stream}`);
    assert.ok(bodyOf(connection, stream).equals(body));
  }
  assert.ok(connection.of(frames.data).every(({ payload }) => payload.length <= 16_384));
});

test('a client that reads nothing is not read either, and the others are served', async () => {
  server.begin = (stream) => {
    whenWhole(stream, () => answer(stream, Buffer.from('x')));
  };
  const socket = connectSocket(server.path).pause();
  await once(socket, 'connect');
  await until(() => server.sessions.length > 0, 'a session');
  const ping = frame(frames.ping, 0, 0, Buffer.alloc(8));
  socket.write(Buffer.concat([preface, frame(frames.settings, 0, 0, Buffer.alloc(0))]));
  socket.write(Buffer.concat(Array.from({ length: pings }, () => ping)));
  await sleep(300);
  const ours = server.sessions.at(-1)?.socket;
  assert.ok(ours);
  const [read, waiting] = [ours.bytesRead, ours.writableLength];
  assert.ok(read < (pings * ping.length) / 2, `${read} bytes read`);
  assert.ok(waiting < 256 * 1024, `${waiting} bytes wait`);
  await assertServes(server.path);
  // It reads after all: each ping has its answer.
  let bytes = 0;
  socket.on('data', (part) => {
    bytes += part.length;
  });
  socket.on('error', () => undefined).resume();
  await until(() => bytes >= pings * ping.length, `all answers, not ${bytes} bytes`);
  socket.destroy();
});

test('asked to leave, it answers what was begun, takes nothing more and ends', async () => {
  const begun: Stream[] = [];
  server.begin = (stream) => begun.push(stream);
  const connection = RawConnection.greeted(server.path);
  connection.send(ask(1));
  await until(() => begun.length === 1, 'the request');
  const session = server.sessions.at(-1)?.session;
  session?.leave();
  await until(() => connection.of(frames.goaway).length === 1, 'GOAWAY');
  const [goaway] = connection.of(frames.goaway);
  assert.equal(goaway?.payload.readUInt32BE(0), 1, 'the last stream that is answered');
  assert.equal(goaway?.payload.readUInt32BE(4), errorCode.noError);
  const late = frame(frames.data, endStream, 3, Buffer.from('late'));
  connection.send(frame(frames.headers, endHeaders, 3, callHeaders('/')), late);
  session?.finish();
  await sleep(50);
  assert.equal(begun.length, 1);
  assert.ok(!connection.isClosed);
  if (begun[0] !== undefined) answer(begun[0], Buffer.from('done'));
  await connection.closed;
  assert.equal(String(bodyOf(connection, 1)), 'done');
});

const refusedConnections = [
  {
    name: '17 empty CONTINUATION frames',
    code: errorCode.enhanceYourCalm,
    frames: [
      frame(frames.headers, 0, 1, callHeaders('/')),
      ...Array.from({ length: 17 }, () => frame(frames.continuation, 0, 1, Buffer.alloc(0))),
    ],
  },
  {
    name: '80 KB of headers',
    code: errorCode.enhanceYourCalm,
    frames: [
      frame(frames.headers, 0, 1, Buffer.alloc(16_000)),
      ...Array.from({ length: 4 }, () => frame(frames.continuation, 0, 1, Buffer.alloc(16_000))),
    ],
  },
] as const;

for (const { name, code, frames: sent } of refusedConnections) {
  test(`${name} end the connection`, async () => {
    const connection = RawConnection.greeted(server.path);
    connection.send(...sent);
    await connection.closed;
    const [goaway] = connection.of(frames.goaway);
    assert.equal(goaway?.payload.readUInt32BE(4), code);
  });
}

test('fields that are named by reference cost what they are, and are kept to the bound', async () => {
  let [bytes, kept] = [0, ''];
  server.begin = (stream) => {
    bytes = stream.head.bytes;
    kept = stream.head.get('x-large') ?? '';
    whenWhole(stream, () => answer(stream, Buffer.from('x')));
  };
  const large = Buffer.concat([
    Buffer.from([0x40, 7, ...Buffer.from('x-large'), 127, 0x81, 0x1e]),
    Buffer.alloc(3_968, 'x'),
  ]);
  const connection = RawConnection.greeted(server.path);
  const block = Buffer.concat([callHeaders('/'), large, Buffer.alloc(8_000, 0xbe)]);
  connection.send(frame(frames.headers, endHeaders | endStream, 1, block));
  await until(() => endOf(connection, 1) !== undefined, 'an answer');
  assert.ok(bytes > 8_001 * kept.length, `${bytes} bytes counted`);
  assert.equal(kept.length, 3_968);
});

test('a handler that throws costs its own connection', async () => {
  server.begin = () => {
    throw new Error('a fault of ours');
  };
  const connection = RawConnection.greeted(server.path);
  connection.send(ask(1));
  await connection.closed;
  assert.equal(connection.of(frames.goaway)[0]?.payload.readUInt32BE(4), errorCode.internalError);
  assert.equal(String(server.failures.pop()), 'Error: a fault of ours');
});

test('a client of node:http2 has bodies of any size answered, in any order', async () => {
  server.begin = (stream) => {
    whenWhole(stream, (body) => setTimeout(() => answer(stream, body), stream.id % 7));
  };
  const session = connectHttp2('http://localhost', {
    createConnection: () => connectSocket(server.path),
  });
  const ask = async (length: number): Promise<void> => {
    const body = Buffer.alloc(length, `${length} `);
    const stream = session.request({ ':method': 'POST', 'x-length': `${length}`.repeat(40) });
    stream.end(body);
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(part as Buffer);
    assert.ok(Buffer.concat(parts).equals(body), `${length} bytes`);
  };
  const lengths = Array.from({ length: 200 }, (_, i) => (i % 10 === 9 ? 100_000 + i : i * 37));
  for (let at = 0; at < lengths.length; at += 50)
    await Promise.all(lengths.slice(at, at + 50).map(ask));
  session.close();
});
