// What the main thread and a token thread say to each other: one request at a
// time, one answer to each. Bytes are copied out of Node's shared slabs first:
// a clone of a small Buffer would carry its neighbours along.
import { type ErrorCode, KleidiError, reasonOf } from '../../errors.ts';
import { ckrOf } from './ckr.ts';

export interface Request {
  /** A method of the thread's work. */
  readonly step: string;
  readonly given: readonly unknown[];
}

export type Answer =
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'kleidi'; readonly code: ErrorCode; readonly text: string; hint?: string }
  | { readonly kind: 'pkcs11'; readonly code: number | undefined; readonly text: string };

/** Bytes of their own for each Buffer, also inside arrays, maps and plain objects. */
export function packed(value: unknown): unknown {
  return mapBytes(value, (bytes) => new Uint8Array(bytes));
}

export function unpacked(value: unknown): unknown {
  return mapBytes(value, ({ buffer, byteOffset, length }) =>
    Buffer.from(buffer, byteOffset, length),
  );
}

/** The buffers of a packed value, which may go along without another copy. */
export function buffersOf(value: unknown): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  mapBytes(value, (bytes) => {
    buffers.push(bytes.buffer);
    return bytes;
  });
  return buffers;
}

type Bytes = Uint8Array<ArrayBuffer>;

function mapBytes(value: unknown, change: (bytes: Bytes) => Uint8Array): unknown {
  if (value instanceof Uint8Array) return change(value as Bytes);
  if (Array.isArray(value)) return value.map((each) => mapBytes(each, change));
  if (value instanceof Map) {
    return new Map([...value].map(([key, each]) => [key, mapBytes(each, change)]));
  }
  if (value === null || typeof value !== 'object' || value instanceof Set) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([key, each]) => [key, mapBytes(each, change)]));
}

export function failure(error: unknown): Answer {
  if (error instanceof KleidiError) {
    const { code, message: text, hint } = error;
    return { kind: 'kleidi', code, text, ...(hint === undefined ? {} : { hint }) };
  }
  const text = reasonOf(error);
  return { kind: 'pkcs11', code: ckrOf(error), text };
}

/** As it was thrown in the other thread, as far as the recovery policy looks at it. */
export function thrownBy(answer: Exclude<Answer, { kind: 'done' }>): Error {
  if (answer.kind === 'pkcs11') return Object.assign(new Error(answer.text), { code: answer.code });
  const { code, text, hint } = answer;
  return new KleidiError(code, text, hint === undefined ? {} : { hint });
}
