// What has become of providers since the start of this process, for the metrics. It outlives
// each provider: one that could not be opened is counted too.
import type { ProviderKind } from './provider.ts';

/** `ok`, or the code of an error. */
type Result = string;

/** A module may answer with any number: beyond so many they count as one. */
const mostCodes = 64;

export class ProviderCounts {
  /** Each time a provider was opened. */
  readonly opens = new Map<ProviderKind, Map<Result, number>>();
  readonly selfTests = new Map<ProviderKind, Map<Result, number>>();
  /** By the kind of the verdict. */
  readonly verifications = new Map<string, number>();
  /** By operation. One of a caller may need several. */
  readonly moduleCalls = new Map<string, number>();
  /** By the name of the return value. */
  readonly moduleErrors = new Map<string, number>();
  readonly vaultLogins = new Map<Result, number>();

  opened(kind: ProviderKind, result: Result): void {
    increment(ofKind(this.opens, kind), result);
  }

  tested(kind: ProviderKind, result: Result): void {
    increment(ofKind(this.selfTests, kind), result);
  }

  verified(verdict: string): void {
    increment(this.verifications, verdict);
  }

  moduleCalled(operation: string): void {
    increment(this.moduleCalls, operation);
  }

  moduleFailed(name: string): void {
    const isNew = !this.moduleErrors.has(name);
    increment(this.moduleErrors, isNew && this.moduleErrors.size >= mostCodes ? 'other' : name);
  }

  loggedIn(result: Result): void {
    increment(this.vaultLogins, result);
  }
}

function ofKind(counts: Map<ProviderKind, Map<Result, number>>, kind: ProviderKind) {
  const found = counts.get(kind) ?? new Map<Result, number>();
  counts.set(kind, found);
  return found;
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
