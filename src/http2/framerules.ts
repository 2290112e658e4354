// What holds of each type of frame by itself: on a stream or on the connection, and how long it is.
// Source: RFC 9113, 6.1 to 6.10.
import { Breach, errorCode, type Frame, flag, frameType } from './frame.ts';

interface Rule {
  /** On a stream, on the connection, or on either. */
  readonly on: 'stream' | 'connection' | 'either';
  readonly bytes?: number;
}

const rules: ReadonlyMap<number, Rule> = new Map([
  [frameType.data, { on: 'stream' }],
  [frameType.headers, { on: 'stream' }],
  [frameType.priority, { on: 'stream' }],
  [frameType.resetStream, { on: 'stream', bytes: 4 }],
  [frameType.settings, { on: 'connection' }],
  [frameType.ping, { on: 'connection', bytes: 8 }],
  [frameType.goaway, { on: 'connection' }],
  [frameType.windowUpdate, { on: 'either', bytes: 4 }],
  [frameType.continuation, { on: 'stream' }],
]);

const priorityBytes = 5;

/** @throws Breach */
export function requireSound(frame: Frame): void {
  const { type, stream, payload } = frame;
  if (type === frameType.pushPromise) throw wrong('a client does not push');
  const rule = rules.get(type);
  if (rule === undefined) return;
  if (rule.on === 'stream' && stream === 0) throw wrong(`a frame of type ${type} on no stream`);
  if (rule.on === 'connection' && stream !== 0) throw wrong(`a frame of type ${type} on a stream`);
  if (rule.bytes !== undefined && payload.length !== rule.bytes) throw wrongSize(frame);
  if (type === frameType.priority && payload.length !== priorityBytes) {
    throw new Breach(errorCode.frameSizeError, 'a priority of another length', stream);
  }
  const isAck = type === frameType.settings && (frame.flags & flag.ack) !== 0;
  if (isAck && payload.length > 0) throw wrongSize(frame);
}

function wrong(what: string): Breach {
  return new Breach(errorCode.protocolError, what);
}

function wrongSize({ type, payload }: Frame): Breach {
  const what = `a frame of type ${type} with ${payload.length} bytes`;
  return new Breach(errorCode.frameSizeError, what);
}
