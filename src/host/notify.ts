// What systemd is told: READY, STATUS, WATCHDOG, STOPPING. The owner of
// sd-notify. Its log functions must never be called: they pass the message as a
// printf format (memory-unsafe).
import { createRequire } from 'node:module';

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
