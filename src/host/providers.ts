// The providers that a ring needs, open or failed. One that fails takes only its
// own KEKs away: while the provider of the write KEK is there, the daemon serves.
import { KleidiError } from '../errors.ts';
import type { LoadedProvider } from '../keyring/keyring.ts';
import { type Ring, type RingKek, writeKekOf } from '../keyring/ring.ts';
import type { Provider, ProviderKind } from '../providers/provider.ts';

export class Providers {
  readonly #open = new Map<ProviderKind, Provider>();
  readonly #failed = new Map<ProviderKind, KleidiError>();

  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  /** Those that could not be opened, or failed their last test, and why. */
  get failed(): ReadonlyMap<ProviderKind, KleidiError> {
    return this.#failed;
  }

  /**
   * Opens what the ring needs and is not open yet.
   * @param otherwise what to open for a ring that names no KEK
   * @throws KleidiError where the provider of the write KEK, or every one, fails
   */
  async open(
    ring: Ring,
    otherwise: ProviderKind,
    opener: (kind: ProviderKind) => Promise<Provider>,
  ): Promise<void> {
    const kinds = neededKinds(ring, otherwise);
    for (const kind of kinds.filter((each) => !this.#open.has(each))) {
      try {
        this.#open.set(kind, await opener(kind));
        this.#failed.delete(kind);
      } catch (thrown) {
        this.#failed.set(kind, KleidiError.from(thrown));
      }
    }
    this.#requireWriter(ring, kinds);
  }

  /** Each open provider with those of these KEKs that it can use now. */
  async load(keks: readonly RingKek[]): Promise<LoadedProvider[]> {
    const loaded: LoadedProvider[] = [];
    for (const [kind, provider] of this.#open) {
      const wanted = keks.filter((kek) => kek.provider === kind).map((kek) => kek.fp);
      loaded.push({ provider, verified: await provider.load([...new Set(wanted)]) });
    }
    return loaded;
  }

  /** @throws KleidiError where the provider of the write KEK fails */
  async selfTest(ring: Ring): Promise<void> {
    const writer = writeKekOf(ring);
    for (const [kind, provider] of this.#open) {
      try {
        await provider.selfTest(writer?.provider === kind ? writer.fp : undefined);
        this.#failed.delete(kind);
      } catch (thrown) {
        if (writer?.provider === kind || this.#open.size === 1) throw thrown;
        this.#failed.set(kind, KleidiError.from(thrown));
      }
    }
  }

  async close(): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    this.#failed.clear();
    for (const provider of open) await provider.close();
  }

  #requireWriter(ring: Ring, kinds: readonly ProviderKind[]): void {
    const writer = writeKekOf(ring)?.provider;
    const [first] = kinds.flatMap((kind) => this.#failed.get(kind) ?? []);
    const failure = (writer && this.#failed.get(writer)) ?? (this.isOpen ? undefined : first);
    if (failure !== undefined) throw failure;
  }
}

function neededKinds(ring: Ring, otherwise: ProviderKind): ProviderKind[] {
  const live = ring.keks.filter((kek) => kek.state !== 'retired');
  const kinds = new Set(live.map((kek) => kek.provider));
  return kinds.size === 0 ? [otherwise] : [...kinds];
}
