// Bounds on what clients can ask for: calls at once, and uses of one KEK.
import { KleidiError } from '../errors.ts';
import type { Fingerprint } from '../providers/provider.ts';
import type { KekReport } from './contract.ts';

/** Lets so many calls in at once, and refuses the next with `queue-full`. */
export class Gate {
  readonly #limit: number;
  #inside = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get inside(): number {
    return this.#inside;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#limit) {
      throw new KleidiError('queue-full', `${this.#limit} requests are waiting already`);
    }
    this.#inside += 1;
    try {
      return await work();
    } finally {
      this.#inside -= 1;
    }
  }
}

/** Refused because it is retired, since it was. */
type KekUse = Pick<
  KekReport,
  'encrypts' | 'decrypts' | 'lastDecryptUnixMs' | 'refusedDecrypts' | 'lastRefusedUnixMs'
>;

// Random nonces allow 2^32 encryptions per key over all hosts (SP 800-38D,
// 8.3). An API server needs a handful a day; only abuse gets near.
const warnEncrypts = 2 ** 28;
const maxEncrypts = 2 ** 30;

const unused: Readonly<KekUse> = {
  encrypts: 0,
  decrypts: 0,
  lastDecryptUnixMs: 0,
  refusedDecrypts: 0,
  lastRefusedUnixMs: 0,
};

/** Counts since the start of this process. */
export class KekUses {
  readonly #uses = new Map<Fingerprint, KekUse>();

  of(fp: Fingerprint): Readonly<KekUse> {
    return this.#uses.get(fp) ?? unused;
  }

  /** @throws KleidiError kek-exhausted */
  countEncrypt(fp: Fingerprint): void {
    const use = this.of(fp);
    if (use.encrypts >= maxEncrypts) {
      throw new KleidiError('kek-exhausted', `KEK ${fp} has sealed ${use.encrypts} times`, {
        hint: 'rotate: kleidi key create, then key promote; and find out who calls Encrypt',
      });
    }
    this.#uses.set(fp, { ...use, encrypts: use.encrypts + 1 });
  }

  countDecrypt(fp: Fingerprint): void {
    const use = this.of(fp);
    this.#uses.set(fp, { ...use, decrypts: use.decrypts + 1, lastDecryptUnixMs: Date.now() });
  }

  countRefusal(fp: Fingerprint): void {
    const use = this.of(fp);
    const refusedDecrypts = use.refusedDecrypts + 1;
    this.#uses.set(fp, { ...use, refusedDecrypts, lastRefusedUnixMs: Date.now() });
  }

  /** These KEKs are not retired: what was refused before does not count against them. */
  forgetRefusals(fps: readonly Fingerprint[]): void {
    for (const fp of fps) {
      const use = this.#uses.get(fp);
      if (use !== undefined)
        this.#uses.set(fp, { ...use, refusedDecrypts: 0, lastRefusedUnixMs: 0 });
    }
  }

  /** KEKs that should be rotated soon, or nothing. */
  nearLimit(): readonly Fingerprint[] {
    return [...this.#uses].filter(([, use]) => use.encrypts >= warnEncrypts).map(([fp]) => fp);
  }
}
