// Says what has become of token and ring: to `Live`, from which Status is
// answered, and to the log, once per change. The keeper decides, this tells.
import type { KleidiError } from '../errors.ts';
import { keyIdHash } from '../keyring/keyid.ts';
import type { Keyring } from '../keyring/keyring.ts';
import type { Live } from '../kms/live.ts';
import type { Log } from '../log.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { DiskWatch } from './diskwatch.ts';

export class Report {
  readonly #live: Live;
  readonly #log: Log;
  readonly #worn = new Set<Fingerprint>();
  readonly disk: DiskWatch;

  constructor(live: Live, log: Log) {
    this.#live = live;
    this.#log = log;
    this.disk = new DiskWatch(live, log);
  }

  /** Every call is refused with this error from now on. */
  failed(error: KleidiError): void {
    const before = this.#live.health();
    this.#live.fail(error);
    if (before.kind === 'failed' && before.error.message === error.message) return;
    this.#notServing(error);
  }

  /** This keyring is in use from now on. A ring without a write KEK still opens old data. */
  serves(event: 'serving' | 'ring-changed', keyring: Keyring): void {
    this.#live.serve(keyring);
    const { name: ring, generation, keks } = namesOf(keyring);
    const health = this.#live.health();
    if (health.kind === 'failed') this.#notServing(health.error, { ring, generation });
    else {
      const { keyId } = health;
      const ids = { keyId, keyIdHash: keyIdHash(keyId) };
      this.#log.event(event, { ring, generation, keks, ...ids });
    }
    this.#lacks(keyring);
  }

  /** The token has passed a test: ends a failure that an earlier one has found. */
  tested(keyring: Keyring): void {
    const before = this.#live.health();
    this.#live.selfTestMs = Date.now();
    if (before.kind === 'failed' && keyring.canWrite) this.serves('serving', keyring);
    else this.#live.serve(keyring);
    this.#wears();
  }

  ringTaken(): void {
    this.#live.notice('ring', undefined);
  }

  ringRefused(error: KleidiError, generation: number): void {
    const { message, hint, code } = error;
    this.#live.notice('ring', `${message}; serving on with generation ${generation}`);
    this.#log.event('ring-refused', { code, hint, generation }, message);
  }

  reopens(reason: string): void {
    this.#log.event('token-reopened', { reason }, `opening the token again: ${reason}`);
  }

  /** The last line of this process. */
  killsItself(error: KleidiError): void {
    this.#log.event('module-broken', { code: error.code });
  }

  #notServing(error: KleidiError, where: { ring?: string; generation?: number } = {}): void {
    const { message, hint, code } = error;
    this.#log.event('not-serving', { code, hint, ...where }, message);
  }

  #lacks(keyring: Keyring): void {
    const fp = keyring.lacking().map((kek) => kek.fp);
    if (fp.length === 0) return;
    const text = 'this host lacks KEKs of the ring: objects sealed under them cannot be read here';
    this.#log.event('kek-lacking', { fp, ring: keyring.ring.ring }, text);
  }

  #wears(): void {
    for (const fp of this.#live.uses.worn().filter((each) => !this.#worn.has(each))) {
      this.#worn.add(fp);
      this.#log.event('kek-worn', { fp }, `KEK ${fp} has sealed over 2^28 times, rotate it`);
    }
  }
}

function namesOf({ ring }: Keyring): { name: string; generation: number; keks: number } {
  return { name: ring.ring, generation: ring.generation, keks: ring.keks.length };
}
