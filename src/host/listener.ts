// Accepts connections on the inherited fd or on a path, and hands each to one
// sink, which bounds how many there are (kms/connections.ts).
import { createServer, type Server, type Socket } from 'node:net';
import { KleidiError } from '../errors.ts';
import { inodeOf, listenOnPath, releasePath } from './socketpath.ts';

export type ListenOn =
  | { readonly kind: 'fd'; readonly fd: number }
  | { readonly kind: 'path'; readonly path: string };

export class Listener {
  readonly #server: Server;
  readonly #where: ListenOn;
  readonly #inode: number | undefined;

  private constructor(server: Server, where: ListenOn, inode: number | undefined) {
    this.#server = server;
    this.#where = where;
    this.#inode = inode;
  }

  /** @throws KleidiError socket-unusable */
  static async open(where: ListenOn, sink: (connection: Socket) => void): Promise<Listener> {
    const server = createServer((connection) => {
      // A broken connection is the client's affair; the call, if any, sees it too.
      connection.on('error', () => undefined);
      sink(connection);
    });
    if (where.kind === 'fd') await listenOnFd(server, where.fd);
    else await listenOnPath(server, where.path);
    const inode = where.kind === 'path' ? await inodeOf(where.path) : undefined;
    return new Listener(server, where, inode);
  }

  /** Open connections have their own end; an inherited fd stays open at its holder. */
  async close(): Promise<void> {
    this.#server.close();
    if (this.#where.kind === 'path') await releasePath(this.#where.path, this.#inode);
  }
}

function listenOnFd(server: Server, fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void =>
      reject(
        new KleidiError('socket-unusable', `fd ${fd} cannot be listened on: ${cause.message}`, {
          hint: 'check kleidi.socket: it must be ListenStream= with Accept=no',
          cause,
        }),
      );
    server.once('error', failed);
    server.listen({ fd }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}
