// What is sent on the stream of a call: an answer with its trailers, trailers alone where a
// call is refused, or a status of HTTP to what is no gRPC.
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Refusal } from './grpcstatus.ts';

const headers = {
  ':status': constants.HTTP_STATUS_OK,
  'content-type': 'application/grpc+proto',
  // The only one that is taken, so a client whose encoding was refused knows.
  'grpc-accept-encoding': 'identity',
};
const trailers = { 'grpc-status': '0' };
// gRPC needs no date, which Node would add.
const withTrailers = { waitForTrailers: true, sendDate: false };
const withoutBody = { endStream: true, sendDate: false };

/** In front of a message: whether it is compressed, and its length. */
export const prefixBytes = 5;

/** @throws what node:http2 throws where the stream has ended or has its headers */
export function answerWith(stream: ServerHttp2Stream, message: Buffer): void {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  stream.respond(headers, withTrailers);
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(frame);
}

export function endWith(stream: ServerHttp2Stream, { code, details }: Refusal): void {
  if (stream.closed || stream.destroyed || stream.headersSent) return;
  stream.respond(
    { ...headers, 'grpc-status': code, 'grpc-message': percentEncoded(details) },
    withoutBody,
  );
  letGo(stream);
}

export function refuseHttp(stream: ServerHttp2Stream, httpStatus: number): void {
  if (stream.closed || stream.destroyed) return;
  stream.respond({ ':status': httpStatus }, withoutBody);
  letGo(stream);
}

/** What the client has not sent yet is not wanted (RFC 9113, 8.1). */
function letGo(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  stream.resume();
  stream.close(constants.NGHTTP2_NO_ERROR);
}

/** Printable ASCII stays, but for the per cent sign. */
function percentEncoded(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]/gu, (each) =>
    [...Buffer.from(each)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}
