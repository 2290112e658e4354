// The vault provider: KEKs are versions of one Transit key, each known by its
// fingerprint. The ring says which version is written with: a rotation inside
// Vault changes nothing here before it is promoted.
import { KleidiError } from '../../errors.ts';
import { ProviderCounts } from '../counts.ts';
import type { Fingerprint, Provider, ServerStanding, UsableKeks } from '../provider.ts';
import { malformed } from './answers.ts';
import { Binding } from './binding.ts';
import { Breaker, isOutage } from './breaker.ts';
import { endsOf } from './certificates.ts';
import type { VaultSettings } from './configured.ts';
import { VaultHttp } from './http.ts';
import type { KeySettings } from './keysettings.ts';
import { Proofs } from './proofs.ts';
import { VaultSession } from './session.ts';
import { Transit } from './transit.ts';
import { type KekVersion, KeyVersions } from './versions.ts';

const outages = { threshold: 3, firstMs: 250, longestMs: 5_000, counts: isOutage } as const;

export class VaultProvider implements Provider {
  readonly kind = 'vault';
  readonly #settings: VaultSettings;
  readonly #http: VaultHttp;
  readonly #session: VaultSession;
  readonly #transit: Transit;
  readonly #breaker = new Breaker(outages);
  readonly #binding: Binding;
  readonly #proofs: Proofs;
  readonly #versions: KeyVersions;
  readonly #certificates: ReadonlyMap<string, number>;
  /** On the monotonic clock. */
  #testDueMs = 0;
  #testedFp: Fingerprint | undefined;
  #failure: KleidiError | undefined;

  private constructor(settings: VaultSettings, http: VaultHttp, counts: ProviderCounts) {
    this.#settings = settings;
    this.#http = http;
    this.#session = new VaultSession(http, settings.auth, counts);
    this.#certificates = endsOf(settings);
    const ask = (what: Parameters<VaultSession['ask']>[0]) =>
      this.#breaker.run(() => this.#session.ask(what));
    this.#transit = new Transit(ask, settings.mount, settings.key);
    this.#binding = new Binding(this.#transit);
    this.#proofs = new Proofs(this.#transit, settings.knownTexts);
    this.#versions = new KeyVersions(this.#transit, settings.key, this.#proofs);
  }

  /** @throws KleidiError vault-* where Vault cannot be reached or refuses */
  static async open(
    settings: VaultSettings,
    counts = new ProviderCounts(),
  ): Promise<VaultProvider> {
    const provider = new VaultProvider(settings, await VaultHttp.open(settings), counts);
    try {
      await provider.#versions.learn();
      await provider.#requireBinding();
      return provider;
    } catch (thrown) {
      await provider.close();
      throw thrown;
    }
  }

  get description(): string {
    const { addresses, mount, key } = this.#settings;
    return `Vault Transit ${mount}/${key} at ${addresses.join(', ')}`;
  }

  get notices(): readonly string[] {
    return this.#versions.notices();
  }

  get server(): ServerStanding {
    return { ...this.#session.standing(this.#breaker), certificates: this.#certificates };
  }

  /** Every version that can be used, by its fingerprint. */
  keks(): readonly KekVersion[] {
    return this.#versions.list();
  }

  /** @throws KleidiError vault-failed before the first look */
  keySettings(): KeySettings {
    const { settings } = this.#versions;
    if (settings === undefined) throw malformed('keys');
    return settings;
  }

  get refusals(): ReadonlyMap<Fingerprint, KleidiError> {
    return this.#proofs.refused;
  }

  /** Whether this host had a known text of the KEK at the last load. */
  hasKnownText(fp: Fingerprint): boolean {
    return this.#proofs.hasText(fp);
  }

  /** A text for this host to know the KEK by. @throws KleidiError kek-missing, vault-* */
  async sealKnownText(fp: Fingerprint): Promise<string> {
    return this.#proofs.seal({ fp, version: this.#usable(fp) });
  }

  /**
   * Each KEK opens its known text, or is not used: see `refusals`.
   * Where Vault does not answer, what is known already holds, and `failure` says
   * why: of an outage not before the breaker opens.
   * @throws KleidiError vault-unbound
   */
  async load(wanted: readonly Fingerprint[]): Promise<UsableKeks> {
    this.#versions.want(wanted);
    await this.#look().catch((thrown: unknown) => {
      const error = KleidiError.from(thrown);
      this.#versions.doubt(error);
      if (!isOutage(error)) this.#failure = error;
    });
    this.#binding.requireNotDisproved();
    return new Map(this.#versions.loaded);
  }

  async #look(): Promise<void> {
    await this.#versions.learn();
    await this.#proveAll(this.#versions.newestToEncrypt(), 'all');
  }

  async wrap(fp: Fingerprint, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    const version = this.#usable(fp);
    await this.#binding.requireProven(version);
    const { callTimeoutMs } = this.#settings;
    return this.#noting(this.#transit.encrypt(version, plaintext, aad, callTimeoutMs));
  }

  async unwrap(fp: Fingerprint, body: Buffer, aad: Buffer): Promise<Buffer> {
    const version = this.#usable(fp);
    return this.#noting(this.#transit.decrypt(version, body, aad, this.#settings.callTimeoutMs));
  }

  /** Why Vault cannot be used right now, by the last test and by the calls since. */
  get failure(): KleidiError | undefined {
    return this.#breaker.open ?? this.#session.refused ?? this.#failure;
  }

  /**
   * What it finds is in `failure`; an outage is not thrown, because every call meets it anyway.
   * @throws KleidiError vault-unbound
   */
  async selfTest(writeFp?: Fingerprint): Promise<UsableKeks> {
    const isDue =
      performance.now() >= this.#testDueMs ||
      writeFp !== this.#testedFp ||
      this.refusals.size > 0 ||
      this.failure !== undefined;
    if (!isDue) return new Map(this.#versions.loaded);
    this.#testDueMs = performance.now() + this.#settings.testEveryMs;
    this.#testedFp = writeFp;
    this.#failure = await this.#test(writeFp).then(
      () => undefined,
      (thrown: unknown) => KleidiError.from(thrown),
    );
    this.#binding.requireNotDisproved();
    return new Map(this.#versions.loaded);
  }

  /**
   * The key is looked at first, then one KEK is confirmed and wrapped with: the one
   * that is written with, whatever Vault has become since. A KEK for reading that
   * Vault has taken away is missing in the loaded set, and no failure.
   */
  async #test(writeFp: Fingerprint | undefined): Promise<void> {
    await this.#versions.learn();
    const fp = writeFp ?? this.#versions.newestWritable();
    if (fp !== undefined) await this.#versions.confirm(fp);
    const version = fp === undefined ? this.#versions.newestToEncrypt() : this.#versions.heldAs(fp);
    await this.#proveAll(version, fp);
    if (fp !== undefined) this.#versions.of(fp);
  }

  /** The binding first: where it is missing, no known text would open, and say less. */
  async #proveAll(
    version: number | undefined,
    who: 'all' | Fingerprint | undefined,
  ): Promise<void> {
    let failure: unknown;
    if (version !== undefined) {
      await this.#binding.prove(version).catch((thrown: unknown) => {
        failure = thrown;
      });
    }
    if (!this.#binding.isDisproved) await this.#versions.prove(who);
    if (failure !== undefined) throw failure;
  }

  /**
   * Before any use. A host that may not seal has nothing to prove it by, and reads all the
   * same: what opens was sealed with its additional data.
   */
  async #requireBinding(): Promise<void> {
    const version = this.#versions.newestToEncrypt();
    if (version !== undefined) this.#failure = await this.#binding.tryToProve(version);
  }

  #usable(fp: Fingerprint): number {
    this.#binding.requireNotDisproved();
    return this.#versions.of(fp);
  }

  async close(): Promise<void> {
    this.#session.close();
    await this.#http.close();
  }

  /** After a call that fails, other than by its ciphertext, the next test is due. */
  #noting<T>(work: Promise<T>): Promise<T> {
    return work.catch((thrown: unknown) => {
      if (KleidiError.from(thrown).code !== 'ciphertext-invalid') this.#testDueMs = 0;
      throw thrown;
    });
  }
}
