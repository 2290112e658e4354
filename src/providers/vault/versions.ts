// The versions of the Transit key, each by its fingerprint, and which of those that
// are wanted can be used now. What Vault takes away is missing, what it gives back
// is there again: by every look at the key, without a restart. Only what
// is proven to be the key that it was counts as loaded.
import { KleidiError } from '../../errors.ts';
import type { Fingerprint, KekIdentity, KeyCheck, UsableKeks } from '../provider.ts';
import { malformed } from './answers.ts';
import type { KeySettings } from './keysettings.ts';
import type { Proofs } from './proofs.ts';
import type { Transit } from './transit.ts';

export interface KekVersion extends KekIdentity {
  /** Of the Transit key. */
  readonly version: number;
}

/** As commands show it. */
export interface VaultKek extends KekVersion {
  /** Why it is not used, although it is there. */
  readonly refusal: KleidiError | undefined;
  /** Whether this host would notice another key in its place. */
  readonly hasKnownText: boolean;
}

export class KeyVersions {
  readonly #transit: Transit;
  readonly #key: string;
  readonly #proofs: Proofs;
  /** Of versions whose fingerprint has been computed by Vault itself. */
  #known = new Map<Fingerprint, Omit<KekVersion, 'fp'>>();
  readonly #loaded = new Map<Fingerprint, KeyCheck>();
  #wanted: readonly Fingerprint[] = [];
  #nameless: readonly number[] = [];
  #minEncryption = 0;
  #settings: KeySettings | undefined;

  constructor(transit: Transit, key: string, proofs: Proofs) {
    this.#transit = transit;
    this.#key = key;
    this.#proofs = proofs;
  }

  /** Those wanted last that could be used at the last look. */
  get loaded(): UsableKeks {
    return this.#loaded;
  }

  /** Of the Transit key, at the last look. */
  get settings(): KeySettings | undefined {
    return this.#settings;
  }

  list(): readonly KekVersion[] {
    return [...this.#known].map(([fp, { check, version }]) => ({ fp, check, version }));
  }

  want(fps: readonly Fingerprint[]): void {
    this.#wanted = fps;
    this.#refresh();
  }

  /**
   * Has these proven, as far as they are wanted and there.
   * @param who all of them, or this one and those that are not loaded
   */
  async prove(who: 'all' | Fingerprint | undefined): Promise<void> {
    const due = this.#wanted.filter((fp) => who === 'all' || who === fp || !this.#loaded.has(fp));
    const keks = due.map((fp) => ({ fp, version: this.#known.get(fp)?.version ?? 0 }));
    await this.#proofs.prove(keks.filter(({ version }) => version > 0));
    this.#refresh();
  }

  /** What could not be proven at all is not used, for this reason. */
  doubt(error: KleidiError): void {
    for (const fp of this.#wanted) {
      const known = this.#known.get(fp);
      if (known !== undefined) this.#proofs.doubt({ fp, version: known.version }, error);
    }
  }

  /** Asks only for versions that are new since the last time. @throws KleidiError vault-* */
  async learn(): Promise<void> {
    await this.#look(() => true);
  }

  /**
   * A Transit key that was deleted and made anew, or came back from a backup, has the
   * same versions with other keys: then their fingerprints are asked for again.
   */
  async confirm(fp: Fingerprint): Promise<void> {
    const known = this.#known.get(fp);
    if (known === undefined) return this.#look((each) => each < this.#minEncryption);
    const now = await this.#transit.identity(known.version);
    if (now.fp === fp && now.check === known.check) return;
    this.#known.clear();
    await this.learn();
  }

  /** @param trusts versions of which the known fingerprint is taken as it is */
  async #look(trusts: (version: number) => boolean): Promise<void> {
    const { usable, minEncryption, settings } = await this.#transit.versions();
    this.#minEncryption = minEncryption;
    this.#settings = settings;
    for (const [fp, { version }] of this.#known) {
      if (!usable.includes(version)) this.#known.delete(fp);
    }
    this.#refresh();
    // What is in use stays until the new list is whole.
    const next = new Map([...this.#known].filter(([, { version }]) => trusts(version)));
    const trusted = new Set([...next.values()].map(({ version }) => version));
    const fresh = usable.filter((version) => !trusted.has(version));
    // Transit's HMAC, unlike its decrypt, obeys min_encryption_version.
    this.#nameless = fresh.filter((version) => version < minEncryption);
    for (const version of fresh.filter((each) => each >= minEncryption)) {
      const { fp, check } = await this.#transit.identity(version);
      if (next.has(fp)) throw malformed('hmac');
      next.set(fp, { version, check });
    }
    this.#known = next;
    this.#refresh();
  }

  /** The newest of those loaded that Transit still encrypts with. */
  newestWritable(): Fingerprint | undefined {
    const writable = [...this.#loaded.keys()].filter((fp) => this.of(fp) >= this.#minEncryption);
    return writable.sort((a, b) => this.of(b) - this.of(a))[0];
  }

  /** Wanted or not, the newest version that Transit encrypts with. */
  newestToEncrypt(): number | undefined {
    const versions = [...this.#known.values()].map(({ version }) => version);
    const writable = versions.filter((each) => each >= this.#minEncryption);
    return writable.sort((a, b) => b - a)[0];
  }

  /** @throws KleidiError kek-missing, and why it is not used */
  of(fp: Fingerprint): number {
    const refusal = this.#proofs.refused.get(fp);
    if (refusal !== undefined) throw refusal;
    return this.heldAs(fp);
  }

  /** Whether it is used or not. @throws KleidiError kek-missing */
  heldAs(fp: Fingerprint): number {
    const known = this.#known.get(fp);
    if (known !== undefined) return known.version;
    throw new KleidiError(
      'kek-missing',
      `Transit key '${this.#key}' has no usable version for KEK ${fp}`,
      {
        hint: 'lower min_decryption_version and min_encryption_version of the Transit key; a version that was trimmed comes back only from a backup of Vault',
      },
    );
  }

  /** Rotated in Vault, not staged here yet: hosts never switch at moments of their own. */
  notices(): readonly string[] {
    const newest = Math.max(0, ...this.#wanted.map((fp) => this.#known.get(fp)?.version ?? 0));
    const versions = [...this.#known.values()].map(({ version }) => version);
    const unlisted = versions.filter((version) => version > newest);
    return [
      ...[...this.#proofs.refused.values()].map((error) => error.message),
      ...unlisted.map(
        (version) =>
          `Transit key ${this.#key} has version ${version}, which the ring does not name: kleidi key import --vault-version ${version} on each host stages it`,
      ),
      ...this.#nameless.map(
        (version) =>
          `Transit key ${this.#key} does not tell which KEK its version ${version} is, because min_encryption_version is ${this.#minEncryption}: lower that to ${version} where the ring needs it`,
      ),
    ];
  }

  #refresh(): void {
    this.#proofs.keepOnly(new Set(this.#known.keys()));
    this.#loaded.clear();
    for (const fp of this.#wanted) {
      const known = this.#known.get(fp);
      if (known === undefined) continue;
      const { version, check } = known;
      if (this.#proofs.isAccepted({ fp, version })) this.#loaded.set(fp, check);
    }
  }
}
