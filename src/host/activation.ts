// Socket activation: the listening socket that systemd (or a test) holds and
// hands over as fd 3 and up (sd_listen_fds(3)).
import { fstatSync } from 'node:fs';
import { KleidiError } from '../errors.ts';

const firstFd = 3;

/**
 * The inherited listening fd, or undefined where none was handed to this very
 * process. Clears the variables, so that no child takes the fd for its own.
 * @throws KleidiError socket-unusable where more than one, or no socket, was handed over
 */
export function inheritedFd(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  delete env['LISTEN_PID'];
  delete env['LISTEN_FDS'];
  delete env['LISTEN_FDNAMES'];
  if (LISTEN_PID === undefined || Number(LISTEN_PID) !== pid) return undefined;
  const count = Number(LISTEN_FDS);
  if (!Number.isInteger(count) || count < 1) return undefined;
  const names = (LISTEN_FDNAMES ?? '').split(':').slice(0, count);
  const named = names.indexOf('kms');
  if (count > 1 && named === -1) {
    throw new KleidiError(
      'socket-unusable',
      `systemd handed over ${count} sockets, none named kms`,
      { hint: 'kleidi.socket needs one ListenStream= and FileDescriptorName=kms' },
    );
  }
  return requireSocket(firstFd + Math.max(named, 0));
}

function requireSocket(fd: number): number {
  if (isSocket(fd)) return fd;
  throw new KleidiError('socket-unusable', `fd ${fd} was handed over, but it is not a socket`, {
    hint: 'check ListenStream= in kleidi.socket',
  });
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}
