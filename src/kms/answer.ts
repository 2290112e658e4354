// The fields that are sent with an answer, with a refusal, and to what is no gRPC.
// Source: PROTOCOL-HTTP2.md in doc/ of grpc/grpc.
import type { Field } from '../http2/statictable.ts';
import type { Refusal } from './grpcstatus.ts';

const status: Field = { name: ':status', value: '200' };
const contentType: Field = { name: 'content-type', value: 'application/grpc+proto' };
/** The only one that is taken, so a client whose encoding was refused knows. */
const acceptEncoding: Field = { name: 'grpc-accept-encoding', value: 'identity' };
const ok: Field = { name: 'grpc-status', value: '0' };

export const answerHeaders: readonly Field[] = [status, contentType, acceptEncoding];
export const answerTrailers: readonly Field[] = [ok];
/** They come with each answer. */
export const repeatedFields: readonly Field[] = [contentType, acceptEncoding, ok];

/** In front of a message: whether it is compressed, and its length. */
export const prefixBytes = 5;

export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(prefixBytes + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, prefixBytes);
  return bytes;
}

export function refusalHeaders({ code, details }: Refusal): readonly Field[] {
  return [
    ...answerHeaders,
    { name: 'grpc-status', value: String(code) },
    { name: 'grpc-message', value: percentEncoded(details) },
  ];
}

export function httpHeaders(httpStatus: number): readonly Field[] {
  return [{ name: ':status', value: String(httpStatus) }];
}

/** Printable ASCII stays, but for the per cent sign. */
function percentEncoded(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (each) =>
    [...Buffer.from(each)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}
