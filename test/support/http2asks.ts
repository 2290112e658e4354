// What tests ask of a server of HTTP/2 by frames, and wait for.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  callHeaders,
  endHeaders,
  endStream,
  type Frame,
  frame,
  frames,
  RawConnection,
} from './rawhttp2.ts';

export function ask(stream: number): Buffer {
  return frame(frames.headers, endHeaders | endStream, stream, callHeaders('/'));
}

export async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!holds()) {
    assert.ok(Date.now() < endMs, what);
    await sleep(5);
  }
}

export function endOf(connection: RawConnection, stream: number): Frame | undefined {
  return connection.received.find(
    (each) => each.stream === stream && (each.flags & endStream) !== 0,
  );
}

/** By a client that has nothing to do with the others. */
export async function assertServes(path: string): Promise<void> {
  const connection = RawConnection.greeted(path);
  connection.send(ask(1));
  await until(() => endOf(connection, 1) !== undefined, 'no answer');
  connection.socket.destroy();
}
