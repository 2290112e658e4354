// What a client can have too much of, and how a call is refused for it.
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { endWith } from './answer.ts';
import { grpcStatus } from './grpcstatus.ts';

export type Excess =
  | 'open calls'
  | 'calls at once'
  | 'unfinished requests'
  | 'headers'
  | 'deadline';

/** RST_STREAM frees what the call holds. */
export function refuse(stream: ServerHttp2Stream, excess: Excess): void {
  if (stream.closed || stream.destroyed) return;
  if (excess !== 'deadline' || stream.headersSent) {
    // For gRPC this is RESOURCE_EXHAUSTED.
    stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    return;
  }
  endWith(stream, { code: grpcStatus.DEADLINE_EXCEEDED, details: 'the call took too long' });
}

/** Names and values, as they are kept. */
export function headerBytes(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const name in headers) bytes += name.length + String(headers[name] ?? '').length;
  return bytes;
}
