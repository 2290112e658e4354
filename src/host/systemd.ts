// What systemd hands over, and what it is told. The listening socket that it (or a test)
// holds comes as fd 3 and up (sd_listen_fds(3)). READY, STATUS, WATCHDOG and STOPPING go back.
// The owner of sd-notify, whose log functions must never be called: they pass the message as
// a printf format (memory-unsafe).
import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
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

interface SdNotify {
  ready(): void;
  stopping(pid: number): void;
  watchdog(): void;
  watchdogInterval(): number;
  sendStatus(text: string): void;
}

export class Notify {
  readonly #systemd: SdNotify | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #status = '';

  /** The native add-on is loaded only where systemd listens. */
  constructor(env: NodeJS.ProcessEnv) {
    this.#systemd =
      env['NOTIFY_SOCKET'] === undefined
        ? undefined
        : (createRequire(import.meta.url)('sd-notify') as SdNotify);
  }

  /** From here on systemd lets dependent units start, and watches us. */
  ready(): void {
    if (this.#systemd === undefined) return;
    this.#systemd.ready();
    const intervalMs = this.#systemd.watchdogInterval();
    if (intervalMs > 0)
      this.#watchdog = setInterval(() => this.#systemd?.watchdog(), intervalMs / 2);
  }

  /** The line that `systemctl status kleidi` shows. */
  status(text: string): void {
    const line = text.replaceAll('\n', ' ');
    if (line === this.#status) return;
    this.#status = line;
    this.#systemd?.sendStatus(line);
  }

  stopping(): void {
    clearInterval(this.#watchdog);
    this.#systemd?.stopping(process.pid);
  }
}
