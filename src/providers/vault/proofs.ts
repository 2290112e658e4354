// Which KEKs are proven to be the key that they were: each has opened the text that this
// host has sealed under it. One that does not open it is not used, and no other text is
// accepted for it. A KEK without such a text is used: nothing is known against it.
import { KleidiError } from '../../errors.ts';
import { knownTextPrefix } from '../domainseparation.ts';
import type { Fingerprint } from '../provider.ts';
import { knownText, openWith, sealKnown } from './binding.ts';
import type { KnownTexts } from './knowntexts.ts';
import type { Transit } from './transit.ts';

interface KekVersion {
  readonly fp: Fingerprint;
  readonly version: number;
}

export class Proofs {
  readonly #transit: Transit;
  readonly #read: () => Promise<KnownTexts>;
  readonly #accepted = new Map<Fingerprint, number>();
  readonly #refused = new Map<Fingerprint, KleidiError>();
  #texts: KnownTexts = new Map();

  constructor(transit: Transit, read: () => Promise<KnownTexts>) {
    this.#transit = transit;
    this.#read = read;
  }

  /** KEKs that are not used, each with the reason: another key, or no answer yet. */
  get refused(): ReadonlyMap<Fingerprint, KleidiError> {
    return this.#refused;
  }

  isAccepted({ fp, version }: KekVersion): boolean {
    return this.#accepted.get(fp) === version;
  }

  /** As the file said at the last look. */
  hasText(fp: Fingerprint): boolean {
    return this.#texts.has(fp);
  }

  /** What Vault takes away is proven anew when it comes back. */
  keepOnly(fps: ReadonlySet<Fingerprint>): void {
    for (const proofs of [this.#accepted, this.#refused]) {
      for (const fp of proofs.keys()) if (!fps.has(fp)) proofs.delete(fp);
    }
  }

  /** Never rejects. No answer changes nothing for a KEK that is accepted. */
  async prove(keks: readonly KekVersion[]): Promise<void> {
    try {
      this.#texts = await this.#read();
    } catch (thrown) {
      for (const kek of keks) this.#refuse(kek, KleidiError.from(thrown));
      return;
    }
    for (const kek of keks) await this.#proveOne(kek);
  }

  /** Where nothing else is said of it yet. */
  doubt(kek: KekVersion, error: KleidiError): void {
    if (!this.#refused.has(kek.fp)) this.#refuse(kek, error);
  }

  /** A new text for this KEK, which has opened once. @throws KleidiError vault-* */
  async seal({ fp, version }: KekVersion): Promise<string> {
    const sealed = await sealKnown(this.#transit, version, aadOf(fp));
    if (sealed === undefined) throw anotherKey(fp, version);
    return sealed.toString('ascii');
  }

  async #proveOne(kek: KekVersion): Promise<void> {
    const { fp, version } = kek;
    const text = this.#texts.get(fp);
    if (text === undefined) return this.#accept(kek);
    try {
      const sealed = Buffer.from(text, 'ascii');
      const opened = await openWith(this.#transit, version, sealed, aadOf(fp));
      if (opened?.equals(knownText) === true) return this.#accept(kek);
      this.#accepted.delete(fp);
      this.#refused.set(fp, anotherKey(fp, version));
    } catch (thrown) {
      const error = KleidiError.from(thrown);
      // An answer, and no right one: what was accepted before does not stand against it.
      if (error.code === 'vault-failed') this.#accepted.delete(fp);
      this.#refuse(kek, error);
    }
  }

  #accept({ fp, version }: KekVersion): void {
    this.#accepted.set(fp, version);
    this.#refused.delete(fp);
  }

  /** What was found to be another key stays that until it opens its text. */
  #refuse(kek: KekVersion, error: KleidiError): void {
    const isSwapped = this.#refused.get(kek.fp)?.code === 'vault-key-swapped';
    if (!this.isAccepted(kek) && !isSwapped) this.#refused.set(kek.fp, error);
  }
}

/** A text is of one KEK: that of another would open nothing here. */
function aadOf(fp: Fingerprint): Buffer {
  return Buffer.from(`${knownTextPrefix}${fp}`);
}

function anotherKey(fp: Fingerprint, version: number): KleidiError {
  return new KleidiError(
    'vault-key-swapped',
    `version ${version} of the Transit key has the fingerprint of KEK ${fp}, and does not open what this host has sealed under that KEK`,
    {
      hint: 'another key was restored or imported in its place: ask the operator of Vault, see its audit log (restore, import), and have the right key restored; kleidi finds it by itself',
    },
  );
}
