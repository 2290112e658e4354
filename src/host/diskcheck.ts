// What a new process would see of the tokens that are open in this one.
import type { Keyring } from '../keyring/keyring.ts';
import { tokenKinds } from '../providers/algorithm.ts';
import type { ProviderCounts } from '../providers/counts.ts';
import type { Fingerprint, TokenKind } from '../providers/provider.ts';
import type { Opener } from './opener.ts';
import type { Providers } from './providers.ts';
import { type Verdict, worstOf } from './verifier.ts';

interface DiskCheckParts {
  readonly opener: Opener;
  readonly providers: Providers;
  readonly counts: ProviderCounts;
}

export class DiskCheck {
  readonly #parts: DiskCheckParts;

  constructor(parts: DiskCheckParts) {
    this.#parts = parts;
  }

  /**
   * Whether it would see KEKs that this one lacks.
   * @param tried those for which a new process was started already
   */
  async seesMore(keyring: Keyring, tried: ReadonlySet<Fingerprint>): Promise<boolean> {
    for (const kind of this.#openTokens) {
      const missing = keyring.missing(kind);
      if (missing.every(({ fp }) => tried.has(fp))) continue;
      if ((await this.#parts.opener.verify(kind, missing)).kind === 'whole') return true;
    }
    return false;
  }

  /** Of what is held; undefined where that is nothing. */
  async verdict(keyring: Keyring): Promise<Verdict | undefined> {
    const { opener, counts } = this.#parts;
    const verdicts: Verdict[] = [];
    for (const kind of this.#openTokens) {
      const held = keyring.verified(kind);
      if (held.length === 0) continue;
      const verdict = await opener.verify(kind, held);
      counts.verified(verdict.kind);
      verdicts.push(verdict);
    }
    return worstOf(verdicts);
  }

  get #openTokens(): readonly TokenKind[] {
    const open = this.#parts.providers.openKinds();
    return tokenKinds.filter((kind) => open.includes(kind));
  }
}
