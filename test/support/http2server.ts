// The server's end of HTTP/2 alone: each request gets a constant answer, or what a test gives.
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import { Session } from '../../src/http2/session.ts';
import type { Field } from '../../src/http2/statictable.ts';
import type { Stream } from '../../src/http2/stream.ts';
import { temporaryFolder } from './folder.ts';

export const limits = { streams: 100, bodyBytes: 128 * 1024, headBytes: 8 * 1024 } as const;
const headers: readonly Field[] = [
  { name: ':status', value: '200' },
  { name: 'content-type', value: 'text/plain' },
];
const trailers: readonly Field[] = [{ name: 'x-end', value: '1' }];

export class Http2Server {
  readonly sessions: { readonly session: Session; readonly socket: Socket }[] = [];
  /** What handlers have thrown. */
  readonly failures: unknown[] = [];
  readonly path = join(temporaryFolder(), 'http2.sock');
  begin: (stream: Stream) => void = (stream) => {
    whenWhole(stream, () => answer(stream, Buffer.from('well, hello')));
  };
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((socket) => {
      const session = new Session(socket, {
        limits,
        repeated: [...headers.slice(1), ...trailers],
        begin: (stream) => this.begin(stream),
        failed: (thrown) => this.failures.push(thrown),
      });
      this.sessions.push({ session, socket });
    });
    after(() => {
      for (const { session } of this.sessions) session.destroy();
      this.#server.close();
    });
  }

  static async open(): Promise<Http2Server> {
    const server = new Http2Server();
    await new Promise<void>((resolve) => server.#server.listen(server.path, resolve));
    return server;
  }

  /** For programs that know no Unix sockets. @returns the port */
  async listenTcp(): Promise<number> {
    const tcp = createServer((socket) => this.#server.emit('connection', socket));
    after(() => tcp.close());
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    const address = tcp.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }
}

export function answer(stream: Stream, body: Buffer): void {
  stream.answer(headers, body, trailers);
}

/** @param then called with all of the body */
export function whenWhole(stream: Stream, then: (body: Buffer) => void): void {
  const parts: Buffer[] = [];
  stream.listener = {
    data: (part) => parts.push(Buffer.from(part)),
    end: () => then(Buffer.concat(parts)),
    closed: () => undefined,
  };
}
