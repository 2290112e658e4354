// A lock between processes: flock(2), held by flock(1) for as long as our end of a
// pipe is open. It ends with this process, however that ends, and needs no native
// add-on. Works on a file, which it makes, or on a folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { KleidiError } from './errors.ts';

const waitS = 10;
/** For the owner alone: whoever can open the file could hold the lock. */
const command =
  'umask 077; command -v flock >/dev/null || exit 127; exec flock --wait "$1" "$2" sh -c "echo locked; exec cat >/dev/null"';

/**
 * Runs `work` while no other process holds the lock on this path.
 * @throws KleidiError ring-locked after 10 s, tool-missing; what `work` throws
 */
export async function withFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const holder = spawn('sh', ['-c', command, 'lock', String(waitS), path], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  const ended = once(holder, 'exit');
  const locked = await Promise.race([
    once(holder.stdout, 'data').then(() => true),
    ended.then(([code]) => (code === 127 ? Promise.reject(noFlock()) : false)),
    once(holder, 'error').then(([error]) => Promise.reject(noFlock(error))),
  ]);
  if (!locked) throw refused(path);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}

function refused(path: string): KleidiError {
  return new KleidiError('ring-locked', `${path} cannot be locked within ${waitS} s`, {
    hint: `another kleidi command is at work (see: fuser ${path}), or the path cannot be opened`,
  });
}

function noFlock(cause?: unknown): KleidiError {
  return new KleidiError('tool-missing', 'the program flock cannot be run', {
    hint: 'install util-linux',
    cause,
  });
}
