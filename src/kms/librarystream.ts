// A call that grpc-js carries, as those see it who bound what clients may hold: its stream of
// node:http2, which grpc-js answers.
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { refusalHeaders } from './answer.ts';
import type { CallStream, CallWatcher } from './callstream.ts';
import type { Refusal } from './grpcstatus.ts';

export class LibraryStream implements CallStream {
  readonly path: string;
  readonly headerBytes: number;
  /** grpc-js ends it itself. */
  readonly endMs = Number.POSITIVE_INFINITY;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#stream = stream;
    this.path = headers[':path'] ?? '';
    this.headerBytes = bytesOf(headers);
  }

  get isWhole(): boolean {
    return this.#stream.readableEnded;
  }

  get isAnswered(): boolean {
    return this.#stream.headersSent;
  }

  get isReset(): boolean {
    return (this.#stream.rstCode ?? constants.NGHTTP2_NO_ERROR) !== constants.NGHTTP2_NO_ERROR;
  }

  get isClosed(): boolean {
    return this.#stream.closed || this.#stream.destroyed;
  }

  watch(watcher: CallWatcher): void {
    this.#stream.on('close', () => watcher.closed());
  }

  reset(code: number): void {
    this.#stream.close(code);
  }

  refuse(refusal: Refusal): void {
    if (this.isClosed || this.isAnswered) return;
    const fields = refusalHeaders(refusal).map(({ name, value }) => [name, value]);
    this.#stream.respond(Object.fromEntries(fields), { endStream: true });
    if (this.isWhole) return;
    // What the client has not sent yet is not wanted (RFC 9113, 8.1).
    this.#stream.resume();
    this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }
}

function bytesOf(headers: IncomingHttpHeaders): number {
  let bytes = 0;
  for (const name in headers) bytes += name.length + String(headers[name] ?? '').length;
  return bytes;
}
