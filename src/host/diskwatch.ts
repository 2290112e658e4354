// What the verifier has said about the token on disk, told once per change.
// While the disk no longer holds what memory does, the daemon serves on and
// makes no planned restart, because it could not come back.
import type { KleidiError } from '../errors.ts';
import type { Serving } from '../kms/serving.ts';
import type { Log } from '../log.ts';
import type { Verdict } from './verifier.ts';

export class DiskWatch {
  readonly #serving: Serving;
  readonly #log: Log;
  #told: string | undefined;

  constructor(serving: Serving, log: Log) {
    this.#serving = serving;
    this.#log = log;
  }

  judge(verdict: Verdict): void {
    switch (verdict.kind) {
      case 'whole':
        this.#whole();
        break;
      case 'missing':
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
    const wasDamaged = this.#serving.tokenDamaged;
    this.#serving.tokenDamaged = false;
    this.#serving.tokenVerifiedMs = Date.now();
    this.#tell(undefined);
    if (wasDamaged) this.#log.event('token-whole');
  }

  #broken(fault: string): void {
    this.#serving.tokenDamaged = true;
    const text = `token on disk is damaged, do not restart, restore first: ${fault}`;
    if (this.#tell(text)) this.#log.event('token-damaged', {}, text);
  }

  /** A check that could not be made has found nothing: an earlier verdict stands. */
  #unchecked({ code, message, hint }: KleidiError): void {
    const text = `the token on disk could not be checked: ${message}`;
    if (this.#serving.tokenDamaged || !this.#tell(text)) return;
    this.#log.event('token-unchecked', { code, hint }, text);
  }

  /** Whether this is news. */
  #tell(text: string | undefined): boolean {
    this.#serving.notice('verifier', text);
    const isNews = text !== this.#told;
    this.#told = text;
    return isNews;
  }
}
