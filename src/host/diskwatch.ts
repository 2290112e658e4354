// What the verifier has said about the token on disk, told once per change.
// While the disk no longer holds what memory does, the daemon serves on and
// makes no planned restart, because it could not come back.
import type { KleidiError } from '../errors.ts';
import type { Live } from '../kms/live.ts';
import type { Log } from '../log.ts';
import type { Verdict } from './verifier.ts';

export class DiskWatch {
  readonly #live: Live;
  readonly #log: Log;
  #told: string | undefined;

  constructor(live: Live, log: Log) {
    this.#live = live;
    this.#log = log;
  }

  judge(verdict: Verdict): void {
    switch (verdict.kind) {
      case 'whole':
        this.#whole();
        break;
      case 'lacking':
        this.#broken(`it lacks KEK ${verdict.fps.join(', ')}`);
        break;
      case 'unusable':
        this.#broken(verdict.error.message);
        break;
      case 'unchecked':
        this.#unchecked(verdict.error);
        break;
      default:
        verdict satisfies never;
    }
  }

  #whole(): void {
    const wasDamaged = this.#live.tokenDamaged;
    this.#live.tokenDamaged = false;
    this.#live.tokenVerifiedMs = Date.now();
    this.#tell(undefined);
    if (wasDamaged) this.#log.event('token-whole');
  }

  #broken(fault: string): void {
    this.#live.tokenDamaged = true;
    const text = `token on disk is damaged, do not restart, restore first: ${fault}`;
    if (this.#tell(text)) this.#log.event('token-damaged', {}, text);
  }

  /** A check that could not be made has found nothing: an earlier verdict stands. */
  #unchecked({ code, message, hint }: KleidiError): void {
    const text = `the token on disk could not be checked: ${message}`;
    if (this.#live.tokenDamaged || !this.#tell(text)) return;
    this.#log.event('token-unchecked', { code, hint }, text);
  }

  /** Whether this is news. */
  #tell(text: string | undefined): boolean {
    this.#live.notice('verifier', text);
    const isNews = text !== this.#told;
    this.#told = text;
    return isNews;
  }
}
