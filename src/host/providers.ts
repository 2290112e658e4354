// The providers that a ring needs, open or failed, and what each can use now. A
// provider that fails affects only its own KEKs: the others are neither closed nor
// asked again because of it.
import { KleidiError } from '../errors.ts';
import type { LoadedProvider } from '../keyring/keyring.ts';
import { isUnretired, type Ring, type RingKek, writeKekOf } from '../keyring/ring.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import type { Provider, ProviderKind, UsableKeks } from '../providers/provider.ts';

interface Opened {
  readonly provider: Provider;
  /** What it could use when it was asked last; undefined until it has answered once. */
  usable: UsableKeks | undefined;
  loadFailure: KleidiError | undefined;
  /** Ended only by a test that passes. */
  testFailure: KleidiError | undefined;
}

export class Providers {
  readonly #open = new Map<ProviderKind, Opened>();
  readonly #unopened = new Map<ProviderKind, KleidiError>();
  readonly #counts: ProviderCounts;

  constructor(counts: ProviderCounts) {
    this.#counts = counts;
  }

  /** Those that could not be opened, or failed their last load or test, and why. */
  failures(): ReadonlyMap<ProviderKind, KleidiError> {
    const failures = new Map(this.#unopened);
    for (const [kind, { loadFailure, testFailure }] of this.#open) {
      const failure = testFailure ?? loadFailure;
      if (failure !== undefined) failures.set(kind, failure);
    }
    return failures;
  }

  /** As above, and what a provider knows by itself about its calls since. */
  allFailures(): ReadonlyMap<ProviderKind, KleidiError> {
    const failures = new Map(this.failures());
    for (const [kind, { provider }] of this.#open) {
      const { failure } = provider;
      if (failure !== undefined && !failures.has(kind))
        failures.set(kind, KleidiError.from(failure));
    }
    return failures;
  }

  openKinds(): readonly ProviderKind[] {
    return [...this.#open.keys()];
  }

  /** Each open provider with the KEKs that it could use when it was asked last. */
  loaded(): readonly LoadedProvider[] {
    return [...this.#open.values()].map(({ provider, usable }) => ({
      provider,
      usable: usable ?? new Map(),
    }));
  }

  /**
   * Opens what these KEKs need and is not open yet. Never rejects.
   * @param otherwise what to open if there are no KEKs
   */
  async open(
    keks: readonly RingKek[],
    otherwise: ProviderKind,
    opener: (kind: ProviderKind) => Promise<Provider>,
  ): Promise<void> {
    const needed = neededKinds(keks, otherwise);
    // What nothing needs any more is neither tried again nor reported.
    for (const kind of this.#unopened.keys()) if (!needed.has(kind)) this.#unopened.delete(kind);
    for (const kind of needed) {
      if (this.#open.has(kind)) continue;
      try {
        const provider = await opener(kind);
        const nothingYet = { usable: undefined, loadFailure: undefined, testFailure: undefined };
        this.#open.set(kind, { provider, ...nothingYet });
        this.#unopened.delete(kind);
      } catch (thrown) {
        this.#unopened.set(kind, KleidiError.from(thrown));
      }
    }
  }

  /**
   * Asks which of these KEKs can be used now. Never rejects.
   * @param who every open provider, or only those that lack one or have failed
   */
  async load(keks: readonly RingKek[], who: 'all' | 'incomplete'): Promise<void> {
    for (const [kind, opened] of this.#open) {
      const mine = keks.filter((kek) => kek.provider === kind);
      if (who === 'all' || !isComplete(opened, mine)) await this.#loadOne(kind, opened, mine);
    }
  }

  /**
   * Has open providers test themselves. Never rejects.
   * @param who every open provider, or only those whose last test has failed
   */
  async selfTest(ring: Ring, who: 'all' | 'failed'): Promise<void> {
    const writer = writeKekOf(ring);
    for (const [kind, opened] of this.#open) {
      if (who === 'failed' && opened.testFailure === undefined) continue;
      const writeFp = writer?.provider === kind ? writer.fp : undefined;
      try {
        opened.usable = await opened.provider.selfTest(writeFp);
        opened.testFailure = undefined;
      } catch (thrown) {
        opened.testFailure = KleidiError.from(thrown);
      }
      const failure = opened.testFailure ?? opened.provider.failure;
      this.#counts.tested(kind, failure === undefined ? 'ok' : KleidiError.from(failure).code);
    }
  }

  /** This provider cannot be used any more: the next `open` tries again. */
  async fail(kind: ProviderKind, error: KleidiError): Promise<void> {
    await this.#close(kind);
    this.#unopened.set(kind, error);
  }

  async close(): Promise<void> {
    this.#unopened.clear();
    for (const kind of this.openKinds()) await this.#close(kind);
  }

  async #loadOne(kind: ProviderKind, opened: Opened, mine: readonly RingKek[]): Promise<void> {
    try {
      opened.usable = await opened.provider.load([...new Set(mine.map((kek) => kek.fp))]);
      opened.loadFailure = undefined;
    } catch (thrown) {
      opened.loadFailure = KleidiError.from(thrown);
      // Nothing of it is in use: the next attempt opens it afresh.
      if (opened.usable === undefined) await this.fail(kind, opened.loadFailure);
    }
  }

  async #close(kind: ProviderKind): Promise<void> {
    const opened = this.#open.get(kind);
    this.#open.delete(kind);
    await opened?.provider.close();
  }
}

function isComplete({ usable, loadFailure }: Opened, mine: readonly RingKek[]): boolean {
  if (usable === undefined || loadFailure !== undefined) return false;
  return mine.every((kek) => !isUnretired(kek) || usable.get(kek.fp) === kek.check);
}

function neededKinds(keks: readonly RingKek[], otherwise: ProviderKind): Set<ProviderKind> {
  const serving = keks.filter(isUnretired);
  const kinds = new Set(serving.map((kek) => kek.provider));
  return kinds.size === 0 ? new Set([otherwise]) : kinds;
}
