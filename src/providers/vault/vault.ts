// The vault provider: KEKs are versions of one Transit key, each known by its
// fingerprint. The ring says which version is written with: a rotation inside
// Vault changes nothing here before it is promoted.
import { KleidiError } from '../../errors.ts';
import type { Fingerprint, Provider } from '../provider.ts';
import { Breaker, isOutage } from './breaker.ts';
import { VaultHttp } from './http.ts';
import { VaultSession } from './session.ts';
import type { VaultSettings } from './settings.ts';
import { Transit } from './transit.ts';

const alg = 0x02;
const backgroundTimeoutMs = 2_000;
const knownPlaintext = Buffer.alloc(32, 0x6b);
const knownAad = Buffer.from('kleidi/v1 self-test');

export class VaultProvider implements Provider {
  readonly kind = 'vault';
  readonly alg = alg;
  readonly #settings: VaultSettings;
  readonly #http: VaultHttp;
  readonly #session: VaultSession;
  readonly #transit: Transit;
  readonly #breaker = new Breaker();
  /** Of versions whose fingerprint has been computed by Vault itself. */
  readonly #versions = new Map<Fingerprint, number>();
  readonly #loaded = new Set<Fingerprint>();
  #unlisted: readonly number[] = [];
  #testedMs = 0;
  #failure: KleidiError | undefined;

  private constructor(settings: VaultSettings, http: VaultHttp) {
    this.#settings = settings;
    this.#http = http;
    this.#session = new VaultSession(http, settings.auth);
    const ask = (what: Parameters<VaultSession['ask']>[0]) =>
      this.#breaker.run(() => this.#session.ask(what));
    this.#transit = new Transit(ask, settings.mount, settings.key);
  }

  /** @throws KleidiError vault-* where Vault cannot be reached or refuses */
  static async open(settings: VaultSettings): Promise<VaultProvider> {
    const { addresses, namespace, ca, auth } = settings;
    const client =
      auth.method === 'cert' ? { certificate: auth.certificate, key: await auth.key() } : {};
    const provider = new VaultProvider(
      settings,
      new VaultHttp({ addresses, namespace, ca, ...client }),
    );
    try {
      await provider.#learn();
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

  /** Rotated in Vault, not staged here yet: hosts never switch at moments of their own. */
  get notices(): readonly string[] {
    return this.#unlisted.map(
      (version) =>
        `Transit key ${this.#settings.key} has version ${version}, which the ring does not name: kleidi key import --vault-version ${version} on each host stages it`,
    );
  }

  /** Every version that can be used, by its fingerprint. */
  keks(): readonly { readonly fp: Fingerprint; readonly version: number }[] {
    return [...this.#versions].map(([fp, version]) => ({ fp, version }));
  }

  /** While Vault is away, what is known already holds: a fingerprint is bound to its version. */
  async load(wanted: readonly Fingerprint[]): Promise<ReadonlySet<Fingerprint>> {
    await this.#learn().catch((thrown: unknown) => {
      if (!isOutage(KleidiError.from(thrown))) throw thrown;
    });
    const found = wanted.filter((fp) => this.#versions.has(fp));
    this.#loaded.clear();
    for (const fp of found) this.#loaded.add(fp);
    const newest = Math.max(0, ...found.map((fp) => this.#versions.get(fp) ?? 0));
    this.#unlisted = [...this.#versions.values()].filter((version) => version > newest);
    return new Set(found);
  }

  async wrap(fp: Fingerprint, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    const { callTimeoutMs } = this.#settings;
    return this.#transit.encrypt(this.#versionOf(fp), plaintext, aad, callTimeoutMs);
  }

  async unwrap(fp: Fingerprint, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#transit.decrypt(this.#versionOf(fp), body, aad, this.#settings.callTimeoutMs);
  }

  /** Why Vault cannot be used right now, by the last test and by the calls since. */
  get failure(): KleidiError | undefined {
    return this.#breaker.open ?? this.#failure;
  }

  /** Never rejects: what it finds is in `failure`, and other providers serve on. */
  async selfTest(): Promise<void> {
    const isDue =
      Date.now() - this.#testedMs >= this.#settings.testEveryMs || this.failure !== undefined;
    if (!isDue) return;
    this.#failure = await this.#test().then(
      () => undefined,
      (thrown: unknown) => KleidiError.from(thrown),
    );
    this.#testedMs = Date.now();
  }

  /** One KEK is wrapped with, the newest; fingerprints are bound to versions for ever. */
  async #test(): Promise<void> {
    const [fp] = [...this.#loaded].sort((a, b) => this.#versionOf(b) - this.#versionOf(a));
    if (fp === undefined) return;
    await this.#learn();
    const version = this.#versionOf(fp);
    const sealed = await this.#transit.encrypt(
      version,
      knownPlaintext,
      knownAad,
      backgroundTimeoutMs,
    );
    const opened = await this.#transit.decrypt(version, sealed, knownAad, backgroundTimeoutMs);
    if (!opened.equals(knownPlaintext)) throw wrongAnswer();
  }

  async close(): Promise<void> {
    this.#session.close();
    await this.#http.close();
  }

  /** Asks only for versions that are new since the last time. */
  async #learn(): Promise<void> {
    const { usable } = await this.#transit.versions(backgroundTimeoutMs);
    for (const [fp, version] of this.#versions) {
      if (!usable.includes(version)) this.#versions.delete(fp);
    }
    const known = new Set(this.#versions.values());
    for (const version of usable.filter((each) => !known.has(each))) {
      this.#versions.set(await this.#transit.fingerprint(version, backgroundTimeoutMs), version);
    }
  }

  #versionOf(fp: Fingerprint): number {
    const version = this.#versions.get(fp);
    if (version !== undefined) return version;
    throw new KleidiError(
      'kek-missing',
      `Transit key '${this.#settings.key}' has no usable version for KEK ${fp}`,
      {
        hint: 'lower min_decryption_version of the Transit key; a version that was trimmed comes back only from a backup of Vault',
      },
    );
  }
}

function wrongAnswer(): KleidiError {
  return new KleidiError('vault-failed', 'Vault opened what it had sealed to something else', {
    hint: 'trust nothing that this server answers; see its log and storage',
  });
}
