// The frames of HTTP/2 by their numbers, and their heads.
// Source: RFC 9113, 4.1, 6 and 7.

export const frameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  resetStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
} as const;

export const flag = {
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

export const errorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  enhanceYourCalm: 0xb,
} as const;

export const setting = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

export const headBytes = 9;
/** What both ends may send before SETTINGS say more; kleidi never says more. */
export const maxFrameBytes = 16_384;
export const defaultWindowBytes = 65_535;
export const maxWindowBytes = 2 ** 31 - 1;

/** A rule of HTTP/2 that the client broke. Never leaves this folder: it becomes a frame. */
export class Breach extends Error {
  readonly code: number;
  /** Whose stream is lost by it; none: the connection is. */
  readonly stream: number | undefined;

  constructor(code: number, message: string, stream?: number) {
    super(message);
    this.code = code;
    this.stream = stream;
  }
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  /** Lies in the bytes as they were read. */
  readonly payload: Buffer;
}

/** Writes the head of a frame at `at`, and returns where its payload begins. */
export function writeHead(
  into: Buffer,
  at: number,
  head: { length: number; type: number; flags: number; stream: number },
): number {
  into[at] = head.length >>> 16;
  into[at + 1] = head.length >>> 8;
  into[at + 2] = head.length;
  into[at + 3] = head.type;
  into[at + 4] = head.flags;
  into.writeUInt32BE(head.stream, at + 5);
  return at + headBytes;
}

/** @throws Breach more padding than frame */
export function unpadded({ flags, payload }: Frame): Buffer {
  if ((flags & flag.padded) === 0) return payload;
  const end = payload.length - (payload[0] ?? 0);
  if (end < 1) throw new Breach(errorCode.protocolError, 'more padding than frame');
  return payload.subarray(1, end);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
