// What clients can hold is bounded over all connections together, and a client that
// comes last gets its answer. Memory is the daemon's own high-water mark; order and
// counts are asserted, never a duration.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KmsClient } from '../support/client.ts';
import type { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';
import {
  callHeaders,
  endHeaders,
  endStream,
  frame,
  frames,
  preface,
  RawConnection,
} from '../support/rawhttp2.ts';

/** Half of MemoryMax= in kleidi.service. */
const mostMiB = 384;
const connections = 512;
const seed = randomBytes(32);

const host = await TestHost.provisioned();
let daemon: Daemon;
let early: KmsClient;
let raw: RawConnection[] = [];

/** With a daemon of its own, so that its high-water mark is of this test. */
function bounded(name: string, work: (t: TestContext) => Promise<void>): void {
  test(name, { timeout: 25_000 }, async (t) => {
    daemon = await host.serve();
    early = new KmsClient(host.socket);
    await early.status();
    try {
      await work(t);
      t.diagnostic(`${peakMiB().toFixed(0)} MiB at most`);
      assert.ok(peakMiB() < mostMiB, `${peakMiB()} MiB, half of MemoryMax is ${mostMiB}`);
    } finally {
      for (const { socket } of raw) socket.destroy();
      raw = [];
      await daemon.stop();
    }
  });
}

async function open(count: number, make: () => RawConnection): Promise<RawConnection[]> {
  const made: RawConnection[] = [];
  // The queue of the listening socket has 511 places; connect(2) fails when it is full.
  while (made.length < count) {
    const some = Array.from({ length: Math.min(64, count - made.length) }, make);
    made.push(...some);
    raw.push(...some);
    await Promise.all(some.map((connection) => connection.connected));
  }
  return made;
}

const greeted = (): RawConnection => RawConnection.greeted(host.socket);

async function lastIsAnswered(): Promise<void> {
  const last = new KmsClient(host.socket);
  const { ciphertext, keyId } = await last.encrypt(seed);
  assert.deepEqual(await last.decrypt(ciphertext, keyId), seed);
  last.close();
}

function peakMiB(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024;
}

const messageHead = (bytes: number): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes, 1);
  return head;
};

/** A call whose request lacks its last byte. */
function almost(stream: number, bytes: number): Buffer {
  const message = Buffer.concat([messageHead(bytes), Buffer.alloc(bytes - 1, 7)]);
  const parts = [
    frame(frames.headers, endHeaders, stream, callHeaders('/v2.KeyManagementService/Encrypt')),
  ];
  for (let at = 0; at < message.length; at += 16_384) {
    parts.push(frame(frames.data, 0, stream, message.subarray(at, at + 16_384)));
  }
  return Buffer.concat(parts);
}

bounded('20,000 unfinished calls on one connection', async () => {
  const [greedy] = await open(1, greeted);
  assert.ok(greedy);
  for (let i = 0; i < 20_000 && !greedy.isClosed; i += 1) {
    greedy.send(almost(2 * i + 1, 1));
    if (i % 500 === 0) await greedy.flushed();
  }
  await lastIsAnswered();
  // Refused one by one until SETTINGS are acknowledged; from then on it is a broken client.
  while (!greedy.isClosed && greedy.of(frames.reset).length < 19_900) await sleep(10);
  assert.equal((await early.status()).healthz, 'ok');
});

bounded('512 connections with 100 unfinished calls each, and the last is answered', async () => {
  const greedy = await open(connections, greeted);
  for (const connection of greedy) {
    for (let i = 0; i < 100; i += 1) connection.begin(2 * i + 1);
  }
  await Promise.all(greedy.map((connection) => connection.flushed()));
  await lastIsAnswered();
  const line = await daemon.event('calls-bounded');
  assert.match(String(line['reason']), /^(open calls|calls at once)$/);
});

bounded('512 connections with 60 KB of 100 requests each, none of them whole', async () => {
  const greedy = await open(connections, greeted);
  // Within the window of a connection, which is 64 KiB: nothing more is taken.
  for (const connection of greedy) {
    for (let i = 0; i < 100; i += 1) connection.send(almost(2 * i + 1, 600));
  }
  await Promise.all(greedy.map((connection) => connection.flushed()));
  await lastIsAnswered();
});

bounded('requests that come a byte at a time keep no buffers of 64 KiB each', async () => {
  const greedy = await open(8, greeted);
  const filler = Buffer.concat(
    Array.from({ length: 4 }, () => frame(frames.unknown, 0, 0, Buffer.alloc(16_000))),
  );
  for (const connection of greedy) {
    connection.begin(1);
    connection.send(frame(frames.data, 0, 1, messageHead(60_000)));
  }
  for (let round = 0; round < 1_000; round += 1) {
    for (const connection of greedy) {
      connection.send(frame(frames.data, 0, 1, Buffer.alloc(1)), filler);
    }
    await Promise.all(greedy.map((connection) => connection.flushed()));
  }
  await daemon.event('calls-bounded');
  await lastIsAnswered();
});

// With grpc-js each frame is an object of Node's streams: the bound on unfinished bytes alone holds.
if (process.env['KLEIDI_TEST_GRPC'] !== 'library') {
  bounded(
    'requests of 60,000 frames with one byte each take little more than they hold',
    async () => {
      const greedy = await open(8, greeted);
      for (let stream = 1; stream < 20; stream += 2) {
        const byte = frame(frames.data, 0, stream, Buffer.alloc(1));
        const request = Buffer.alloc(60_000 * byte.length, byte);
        for (const connection of greedy) {
          connection.begin(stream);
          connection.send(frame(frames.data, 0, stream, messageHead(60_001)), request);
        }
        await Promise.all(greedy.map((connection) => connection.flushed()));
      }
      await lastIsAnswered();
    },
  );
}

bounded('512 connections with large headers on 100 calls each', async () => {
  const greedy = await open(connections, greeted);
  const headers = callHeaders('/v2.KeyManagementService/Encrypt', { x: 'y'.repeat(12_000) });
  for (const connection of greedy) {
    for (let i = 0; i < 100; i += 1) {
      connection.send(frame(frames.headers, endHeaders, 2 * i + 1, headers));
    }
  }
  await Promise.all(greedy.map((connection) => connection.flushed()));
  await lastIsAnswered();
  assert.equal((await daemon.event('calls-bounded'))['reason'], 'headers');
});

bounded('answers that nobody reads: a window of 0, and a socket that is not read', async () => {
  const noWindow = Buffer.from([0, 4, 0, 0, 0, 0]);
  const greedy = await open(connections, () => RawConnection.greeted(host.socket, noWindow));
  for (const { socket } of greedy.slice(connections / 2)) socket.pause();
  const state = callHeaders('/kleidi.v1.StateService/State');
  for (const connection of greedy) {
    for (let i = 0; i < 100; i += 1) {
      connection.send(
        frame(frames.headers, endHeaders, 2 * i + 1, state),
        frame(frames.data, endStream, 2 * i + 1, messageHead(0)),
      );
    }
  }
  await lastIsAnswered();
  await daemon.event('calls-bounded');
  await lastIsAnswered();
});

for (const [what, hello] of [
  ['say nothing', Buffer.alloc(0)],
  ['send one byte', preface.subarray(0, 1)],
  [
    'send preface and SETTINGS',
    Buffer.concat([preface, frame(frames.settings, 0, 0, Buffer.alloc(0))]),
  ],
] as const) {
  bounded(`512 connections that ${what}: the last is answered`, async () => {
    const idle = await open(connections, () => new RawConnection(host.socket));
    for (const connection of idle) connection.send(hello);
    await lastIsAnswered();
    await daemon.event('connections-full');
  });
}

bounded('the connection that has gone longest without finishing a call makes room', async () => {
  const used = await open(connections - 1, greeted);
  const [first, second] = used;
  assert.ok(first && second);
  // With the early client all places are taken; each of these has finished a call, in order.
  for (const connection of used) await finishCall(connection, 1);
  await finishCall(first, 3);
  await early.status();
  const more = await open(2, greeted);
  for (const connection of more) await finishCall(connection, 1);
  await second.closed;
  await used[2]?.closed;
  assert.equal(second.of(frames.goaway).length, 1, 'told, not only cut');
  assert.deepEqual(
    used.map(({ isClosed }, i) => (isClosed ? i : -1)).filter((i) => i >= 0),
    [1, 2],
  );
});

async function finishCall(connection: RawConnection, stream: number): Promise<void> {
  connection.send(
    frame(frames.headers, endHeaders, stream, callHeaders('/v2.KeyManagementService/Status')),
    frame(frames.data, endStream, stream, messageHead(0)),
  );
  const ended = (): boolean =>
    connection.received.some((each) => each.stream === stream && (each.flags & endStream) !== 0);
  while (!ended()) {
    assert.ok(!connection.isClosed, 'closed before its call was finished');
    await sleep(1);
  }
}

bounded('a greedy client is refused, and one that has no call open is not', async () => {
  const greedy = await open(20, greeted);
  for (const connection of greedy) {
    for (let i = 0; i < 100; i += 1) connection.begin(2 * i + 1);
  }
  const calls = Array.from({ length: 200 }, () => early.encrypt(seed));
  const settled = await Promise.allSettled(calls);
  const failed = settled.filter((each) => each.status === 'rejected');
  assert.deepEqual(failed, [], 'calls of a client that takes its answers are never cut');
});

bounded('a request that never comes whole is ended with DEADLINE_EXCEEDED', async () => {
  await daemon.stop();
  host.configure({ limits: { callTimeoutMs: 100 } });
  daemon = await host.serve();
  const [slow] = await open(1, greeted);
  assert.ok(slow);
  slow.send(almost(1, 600));
  while (slow.of(frames.headers).length === 0) {
    assert.ok(!slow.isClosed);
    await sleep(20);
  }
  assert.equal((await daemon.event('calls-bounded'))['reason'], 'deadline');
  while (slow.of(frames.reset).length === 0) await sleep(20);
  await finishCall(slow, 3);
  host.configure({});
});
