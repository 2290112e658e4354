// What the verifier has said about the token on disk, told once per change.
// While the disk no longer holds what memory does, the daemon serves on and
// makes no planned restart, because it could not come back.
import type { Live } from '../kms/live.ts';
import type { Log } from '../log.ts';
import { describeVerdict, type Verdict } from './verifier.ts';

export class DiskWatch {
  readonly #live: Live;
  readonly #log: Log;

  constructor(live: Live, log: Log) {
    this.#live = live;
    this.#log = log;
  }

  get damaged(): boolean {
    return this.#live.tokenDamaged;
  }

  judge(verdict: Verdict): void {
    const fault = describeVerdict(verdict);
    const was = this.damaged;
    this.#live.tokenDamaged = fault !== undefined;
    if (fault === undefined) this.#whole(was);
    else this.#broken(was, fault);
  }

  #whole(wasDamaged: boolean): void {
    this.#live.tokenVerifiedMs = Date.now();
    this.#live.notice('verifier', undefined);
    if (wasDamaged) this.#log.event('token-whole');
  }

  #broken(wasDamaged: boolean, fault: string): void {
    const text = `token on disk is damaged, do not restart, restore first: ${fault}`;
    this.#live.notice('verifier', text);
    if (!wasDamaged) this.#log.event('token-damaged', {}, text);
  }
}
