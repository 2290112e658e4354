// What is true right now: the keyring or the reason why there is none, and
// what people should know. The host side writes it, the service reads it.
// Status and State are answered from here, without a call to anything.
import { KleidiError } from '../errors.ts';
import type { Keyring } from '../keyring/keyring.ts';
import { isUnretired, type Ring } from '../keyring/ring.ts';
import { KekUses } from './limits.ts';

type NoticeSource = 'ring' | 'token' | 'verifier' | 'usage' | 'machine';

type Health =
  /** Status must be an error: the write KEK must not be used. */
  | { readonly kind: 'failed'; readonly error: KleidiError }
  /** Writes go on; `healthz` is "ok", or one sentence that makes an API server NotReady. */
  | { readonly kind: 'serving'; readonly healthz: string; readonly keyId: string };

export class Serving {
  readonly uses = new KekUses();
  readonly startedMs = Date.now();
  selfTestMs = 0;
  tokenVerifiedMs = 0;
  /** The disk no longer holds what is served from memory. */
  tokenDamaged = false;
  /** What the ring file says, where that is not taken into use. */
  refusedRing: Ring | undefined;
  #keyring: Keyring | undefined;
  #failure: KleidiError | undefined;
  readonly #notices = new Map<NoticeSource, string>();

  serve(keyring: Keyring): void {
    this.#keyring = keyring;
    const open = keyring.ring.keks.filter(isUnretired);
    this.uses.forgetRefusals(open.map((kek) => kek.fp));
    this.#failure = undefined;
  }

  /** From now on every call is refused with this error. */
  fail(error: KleidiError): void {
    this.#failure = error;
  }

  get ringRefused(): boolean {
    return this.#notices.has('ring');
  }

  get keyring(): Keyring | undefined {
    return this.#keyring;
  }

  /** @throws KleidiError the failure that stands, or `starting` */
  requireKeyring(): Keyring {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#keyring === undefined) {
      throw new KleidiError('starting', 'the token has not been opened yet');
    }
    return this.#keyring;
  }

  notice(source: NoticeSource, text: string | undefined): void {
    if (text === undefined) this.#notices.delete(source);
    else this.#notices.set(source, text);
  }

  notices(): readonly string[] {
    const nearLimit = this.uses
      .nearLimit()
      .map((fp) => `KEK ${fp} has sealed over 2^28 times, rotate it`);
    const away = (this.#keyring?.failures() ?? []).map((error) => error.message);
    const told = this.#keyring?.notices() ?? [];
    return [...this.#notices.values(), ...nearLimit, ...away, ...told];
  }

  health(): Health {
    try {
      const keyring = this.requireKeyring();
      const { keyId, provider } = keyring.writeTarget();
      if (provider.failure !== undefined) throw provider.failure;
      return { kind: 'serving', healthz: healthz(keyring, this.refusedRing), keyId };
    } catch (error) {
      return { kind: 'failed', error: KleidiError.from(error) };
    }
  }
}

function healthz(keyring: Keyring, refused: Ring | undefined): string {
  const missing = keyring.missing().map((kek) => kek.fp);
  if (missing.length > 0) return `this host lacks ${sentence(missing)}`;
  const named = refused?.keks.filter(isUnretired).map((kek) => kek.fp) ?? [];
  const unreadable = named.filter((fp) => !keyring.canRead(fp));
  return unreadable.length === 0
    ? 'ok'
    : `the ring file is not in use; it names ${sentence(unreadable)}`;
}

function sentence([first = '', ...more]: readonly string[]): string {
  const others = more.length === 0 ? '' : ` and ${more.length} more`;
  return `KEK ${first}${others}: objects sealed under it cannot be read here`;
}
