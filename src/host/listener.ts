// Accepts connections on the inherited fd or on a path, and hands each to one sink, which
// bounds how many there are (kms/connections.ts). A path is taken where systemd hands none
// over: a live socket is refused, a dead one replaced, anything else left alone. The socket
// is made under a temporary name and renamed, so that it has its mode from its first moment,
// and so that libuv's unlink at close never hits a successor's.

import { lstat, rename, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { KleidiError, reasonOf } from '../errors.ts';
import { isErrno } from '../files.ts';

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

const socketMode = 0o660;
/** sun_path holds 108 bytes with its terminating zero (unix(7)). */
const maxPathBytes = 107;

/** @throws KleidiError socket-unusable; nothing is changed then */
export async function listenOnPath(server: Server, path: string, mode = socketMode): Promise<void> {
  await requireFree(path);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  if (Buffer.byteLength(temporary) > maxPathBytes) {
    throw unusable(
      path,
      `is too long: the limit is ${maxPathBytes} bytes`,
      'choose a shorter path',
    );
  }
  await unlink(temporary).catch(() => undefined);
  await listenWithMode(server, temporary, path, mode);
  await rename(temporary, path);
}

/** Removes the path where it is still the socket that we made. */
export async function releasePath(path: string, inode: number | undefined): Promise<void> {
  const now = await inodeOf(path);
  if (now !== undefined && now === inode) await unlink(path).catch(() => undefined);
}

export async function inodeOf(path: string): Promise<number | undefined> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isSocket() === true ? found.ino : undefined;
}

/** bind(2) happens inside listen(), so the umask is in force for that moment only. */
function listenWithMode(
  server: Server,
  temporary: string,
  path: string,
  mode: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void =>
      reject(
        unusable(path, cause.message, 'check that its folder exists and can be written', cause),
      );
    server.once('error', failed);
    const umask = process.umask(0o777 & ~mode);
    server.listen(temporary, () => {
      server.off('error', failed);
      resolve();
    });
    process.umask(umask);
  });
}

async function requireFree(path: string): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    const why = reasonOf(error);
    throw unusable(path, why, 'check the folder');
  });
  if (found === undefined) return;
  if (found.isSymbolicLink()) throw unusable(path, 'is a symbolic link', 'name the socket itself');
  if (!found.isSocket())
    throw unusable(path, 'exists and is not a socket', 'move it away or choose another path');
  if (await answers(path))
    throw unusable(path, 'is in use by a running process', 'stop it first, or choose another path');
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    // Only a refused connection proves that nobody listens; EAGAIN is a full queue.
    probe.once('error', (error) => resolve(!isErrno(error, 'ECONNREFUSED')));
  });
}

function unusable(path: string, why: string, hint: string, cause?: unknown): KleidiError {
  return new KleidiError('socket-unusable', `socket ${path}: ${why}`, { hint, cause });
}
