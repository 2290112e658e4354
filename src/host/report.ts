// Says what has become of token and ring: to `Serving`, from which Status is
// answered, and to the log, once per change. The reconciler decides, this tells.
import type { KleidiError } from '../errors.ts';
import { ringDigest } from '../keyring/digest.ts';
import { keyIdHash } from '../keyring/keyid.ts';
import type { Keyring } from '../keyring/keyring.ts';
import type { Ring } from '../keyring/ring.ts';
import type { Serving } from '../kms/serving.ts';
import type { Log } from '../log.ts';
import type { Fingerprint, ProviderKind } from '../providers/provider.ts';
import { DiskWatch } from './diskwatch.ts';

export class Report {
  readonly #serving: Serving;
  readonly #log: Log;
  readonly #nearLimit = new Set<Fingerprint>();
  readonly #away = new Map<ProviderKind, string>();
  /** What was logged last of each kind: a retry that changes nothing logs nothing. */
  #served = '';
  #refused = '';
  readonly disk: DiskWatch;

  constructor(serving: Serving, log: Log) {
    this.#serving = serving;
    this.#log = log;
    this.disk = new DiskWatch(serving, log);
  }

  /** Every call is refused with this error from now on: there is no keyring. */
  failed(error: KleidiError): void {
    this.#serving.fail(error);
    if (this.#isNews(error.message)) this.#notServing(error);
  }

  /** This keyring is in use from now on. A ring without a write KEK still opens old data. */
  serves(keyring: Keyring): void {
    const before = this.#serving.keyring;
    this.#serving.serve(keyring);
    const { name: ring, generation, keks } = namesOf(keyring);
    const health = this.#serving.health();
    const missing = keyring.missing().map((kek) => kek.fp);
    const what = health.kind === 'failed' ? health.error.message : health.keyId;
    if (!this.#isNews(JSON.stringify([what, ringDigest(keyring.ring), missing]))) return;
    if (health.kind === 'failed') this.#notServing(health.error, { ring, generation });
    else {
      const { keyId } = health;
      const ids = { keyId, keyIdHash: keyIdHash(keyId) };
      const isChanged = before !== undefined && before.ring !== keyring.ring;
      this.#log.event(isChanged ? 'ring-changed' : 'serving', { ring, generation, keks, ...ids });
    }
    this.#lacks(missing, ring);
  }

  tested(): void {
    this.#serving.selfTestMs = Date.now();
    this.#wears();
  }

  /** Why each provider cannot be used now; those that are missing here can. */
  providers(failures: ReadonlyMap<ProviderKind, KleidiError>): void {
    for (const kind of [...this.#away.keys()].filter((each) => !failures.has(each))) {
      this.#away.delete(kind);
      this.#log.event('provider-back', { provider: kind }, `provider ${kind} works again`);
    }
    for (const [kind, { code, message, hint }] of failures) {
      if (this.#away.get(kind) === message) continue;
      this.#away.set(kind, message);
      const text = `provider ${kind} fails, its KEKs cannot be used: ${message}`;
      this.#log.event('provider-failed', { provider: kind, code, hint }, text);
    }
  }

  ringTaken(): void {
    this.#refused = '';
    this.#serving.refusedRing = undefined;
    this.#serving.notice('ring', undefined);
  }

  /** @param ring what the file says, where it can be read */
  ringRefused(error: KleidiError, generation: number, ring: Ring | undefined): void {
    const { message, hint, code } = error;
    this.#serving.refusedRing = ring;
    this.#serving.notice('ring', `${message}; serving on with generation ${generation}`);
    if (this.#refused === message) return;
    this.#refused = message;
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

  #lacks(fp: readonly Fingerprint[], ring: string): void {
    if (fp.length === 0) return;
    const text = 'this host lacks KEKs of the ring: objects sealed under them cannot be read here';
    this.#log.event('kek-missing', { fp, ring }, text);
  }

  #isNews(what: string): boolean {
    const isNews = what !== this.#served;
    this.#served = what;
    return isNews;
  }

  #wears(): void {
    for (const fp of this.#serving.uses.nearLimit().filter((each) => !this.#nearLimit.has(each))) {
      this.#nearLimit.add(fp);
      this.#log.event('kek-near-limit', { fp }, `KEK ${fp} has sealed over 2^28 times, rotate it`);
    }
  }
}

function namesOf({ ring }: Keyring): { name: string; generation: number; keks: number } {
  return { name: ring.ring, generation: ring.generation, keks: ring.keks.length };
}
