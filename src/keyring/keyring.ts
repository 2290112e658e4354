// A ring with its keys: one immutable snapshot. Encrypt and Decrypt each take
// one, so that write KEK and key id always belong together; a change of the
// ring makes a new snapshot.
import { KleidiError } from '../errors.ts';
import type {
  Fingerprint,
  Provider,
  ProviderKind,
  ServerStanding,
  UsableKeks,
} from '../providers/provider.ts';
import { parseKeyId } from './keyid.ts';
import { isUnretired, keyIdOf, type Ring, type RingKek, writeKekOf } from './ring.ts';

export interface Target {
  readonly provider: Provider;
  readonly fp: Fingerprint;
}

export interface LoadedProvider {
  readonly provider: Provider;
  /** What the provider can use. */
  readonly usable: UsableKeks;
}

export class Keyring {
  readonly ring: Ring;
  readonly keyId: string | undefined;
  readonly #providers: ReadonlyMap<ProviderKind, LoadedProvider>;
  readonly #keks: ReadonlyMap<Fingerprint, RingKek>;
  readonly #failed: ReadonlyMap<ProviderKind, KleidiError>;

  /** @param failed providers that the ring needs and that could not be opened or have failed a test, and why */
  constructor(
    ring: Ring,
    loaded: readonly LoadedProvider[],
    failed: ReadonlyMap<ProviderKind, KleidiError> = new Map(),
  ) {
    this.ring = ring;
    this.keyId = keyIdOf(ring);
    this.#providers = new Map(loaded.map((each) => [each.provider.kind, each]));
    this.#failed = failed;
    this.#keks = new Map(ring.keks.map((kek) => [kek.fp, kek]));
  }

  /**
   * A provider that has failed its test is not written with. It is still read with:
   * what it opens is authenticated, and another test may pass.
   * @throws KleidiError ring-empty, kek-missing, provider-missing, why the provider has failed
   */
  writeTarget(): Target & { readonly keyId: string } {
    const kek = writeKekOf(this.ring);
    const failure =
      kek === undefined ? [...this.#failed.values()][0] : this.#failed.get(kek.provider);
    if (failure !== undefined) throw failure;
    if (kek === undefined || this.keyId === undefined) {
      throw new KleidiError('ring-empty', `ring ${this.ring.ring} has no write KEK yet`, {
        hint: 'kleidi key create or key import, then key promote',
      });
    }
    return { ...this.#target(kek), keyId: this.keyId };
  }

  /** @throws KleidiError key-id-*, kek-unknown, kek-retired, kek-missing */
  readTarget(keyId: string): Target {
    const { ring, fp } = parseKeyId(keyId);
    if (ring !== this.ring.ring) {
      throw new KleidiError(
        'key-id-foreign',
        `the key id is of ring '${ring}', this host has ring '${this.ring.ring}'`,
      );
    }
    const kek = this.#keks.get(fp);
    if (kek === undefined) {
      throw new KleidiError('kek-unknown', `KEK ${fp} is not in ring '${ring}' on this host`);
    }
    if (!isUnretired(kek)) throw new KleidiError('kek-retired', `KEK ${fp} is ${kek.state}`);
    return this.#target(kek);
  }

  isVerified(fp: Fingerprint): boolean {
    const kek = this.#keks.get(fp);
    return kek !== undefined && this.#providers.get(kek.provider)?.usable.get(fp) === kek.check;
  }

  /** What this host holds of the ring, retired KEKs too. */
  verified(kind?: ProviderKind): readonly RingKek[] {
    return this.ring.keks.filter((kek) => isOf(kek, kind) && this.isVerified(kek.fp));
  }

  get canWrite(): boolean {
    const kek = writeKekOf(this.ring);
    return kek !== undefined && this.isVerified(kek.fp) && !this.#failed.has(kek.provider);
  }

  /** Whether Decrypt opens what is sealed under this KEK. */
  canRead(fp: Fingerprint): boolean {
    const kek = this.#keks.get(fp);
    return kek !== undefined && isUnretired(kek) && this.isVerified(fp);
  }

  /**
   * What this host should hold and does not; retired KEKs do not count, nor those
   * of a provider that is away: nobody knows about them.
   */
  missing(kind?: ProviderKind): readonly RingKek[] {
    const live = this.ring.keks.filter((kek) => isUnretired(kek) && isOf(kek, kind));
    return live.filter((kek) => !this.isVerified(kek.fp) && !this.#failed.has(kek.provider));
  }

  /** Providers that are away, each with the reason. */
  failures(): readonly KleidiError[] {
    const own = [...this.#providers.values()].flatMap(({ provider }) => provider.failure ?? []);
    return [...this.#failed.values(), ...own.map((error) => KleidiError.from(error))];
  }

  notices(): readonly string[] {
    return [...this.#providers.values()].flatMap(({ provider }) => provider.notices ?? []);
  }

  servers(): readonly ServerStanding[] {
    return [...this.#providers.values()].flatMap(({ provider }) => provider.server ?? []);
  }

  providerDescriptions(): string[] {
    return [...this.#providers.values()].map(({ provider }) => provider.description);
  }

  #target(kek: RingKek): Target {
    const loaded = this.#providers.get(kek.provider);
    if (loaded === undefined) {
      const failure = this.#failed.get(kek.provider);
      if (failure !== undefined) throw failure;
      throw new KleidiError(
        'provider-missing',
        `provider ${kek.provider} of KEK ${kek.fp} is not available`,
      );
    }
    const check = loaded.usable.get(kek.fp);
    if (check === undefined) {
      const refusal = loaded.provider.refusals?.get(kek.fp);
      if (refusal !== undefined) throw refusal;
      throw new KleidiError('kek-missing', `the token of this host does not hold KEK ${kek.fp}`);
    }
    if (check !== kek.check) throw anotherKey(kek);
    return { provider: loaded.provider, fp: kek.fp };
  }
}

function anotherKey({ fp, provider }: RingKek): KleidiError {
  return new KleidiError(
    'kek-mismatch',
    `provider ${provider} of this host holds another key as KEK ${fp} than the ring names: its check differs`,
    {
      hint: 'do not use that key: compare kleidi ring show on the members, find out who made it, and rotate',
    },
  );
}

function isOf(kek: RingKek, kind: ProviderKind | undefined): boolean {
  return kind === undefined || kek.provider === kind;
}
