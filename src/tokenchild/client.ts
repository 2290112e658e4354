// Token work as the other verbs ask for it: each job in a child of its own, the
// PIN over a pipe.
import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { syncTree } from '../files.ts';
import { pendingSecret, readSecret } from '../host/credentials.ts';
import { type BundleKek, type KeksOfRing, macText, vouchedOf } from '../keyring/bundle.ts';
import type { RingName } from '../keyring/ringid.ts';
import { vouchText } from '../keyring/voucher.ts';
import { pinReference, tokenSettings } from '../providers/open.ts';
import { TokenChild } from '../providers/pkcs11/child.ts';
import type { PinUser } from '../providers/pkcs11/refusedpin.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import { tokenOwner } from '../providers/pkcs11/tokenfolder.ts';
import type {
  ArrivingKek,
  CheckedKeks,
  Fingerprint,
  ImportHooks,
  KekDescription,
  KekIdentity,
  TokenKind,
} from '../providers/provider.ts';
import { softHsmFolder } from '../softhsm.ts';
import {
  type CreateJob,
  goOn,
  type SealedSeed,
  type SeedAnswer,
  type TokenJob,
  type TokenRequest,
} from './protocol.ts';

/** Making an RSA-4096 key in SoftHSM takes seconds; a hung module must end. */
const timeoutMs = 120_000;
/** A snapshot may hold a sealed seed for each object. */
const openTimeoutMs = 1_800_000;

/** Which token: that of pkcs11, or of the TPM; the store of the latter may be a copy. */
interface TokenAt {
  readonly kind: TokenKind;
  readonly store?: string;
}

export class TokenCommand {
  readonly #config: Config;
  readonly #at: TokenAt;

  constructor(config: Config, at: TokenAt = { kind: 'pkcs11' }) {
    this.#config = config;
    this.#at = at;
  }

  /** @throws KleidiError refused, module-failed */
  async initialize(soPin: string): Promise<void> {
    await this.#run({ kind: 'initialize', soPin }, (child) => this.#kept(child));
  }

  async list(): Promise<readonly KekDescription[]> {
    const { keks } = await this.#run({ kind: 'list' }, (child) => child.receive());
    return keks as readonly KekDescription[];
  }

  /**
   * One try, which need not be with the PIN that is kept: a token may lock. It waits for
   * what a command that was killed has left at work.
   * @returns the KEKs that it opens the token for; none for the SO PIN
   * @throws KleidiError pin-refused, and what says nothing about the PIN
   */
  async tryPin(who: PinUser, pin: string): Promise<readonly KekDescription[]> {
    const { keks } = await this.#with(pin, { kind: 'try-pin', who }, (child) => child.receive());
    return keks as readonly KekDescription[];
  }

  /** @throws KleidiError refused where the token does not take the new one; else it may have it */
  async changePin(who: PinUser, old: string, pin: string): Promise<void> {
    await this.#with(old, { kind: 'change-pin', who, pin }, async (child) => {
      await child.receive();
      child.send(goOn);
      return this.#kept(child);
    });
  }

  /** `store` runs before anything persists in the token. */
  create(
    wish: Omit<CreateJob, 'kind'>,
    store: (kek: BundleKek) => Promise<void>,
  ): Promise<BundleKek> {
    return this.#run({ kind: 'create', ...wish }, async (child) => {
      const kek = (await child.receive()) as unknown as BundleKek;
      await store(kek);
      child.send(goOn);
      await this.#kept(child);
      return kek;
    });
  }

  /** @returns the SPKI of this token's transport key */
  async request(renew: boolean): Promise<Buffer> {
    const { spki } = await this.#run({ kind: 'request', renew }, (child) => this.#kept(child));
    return Buffer.from(String(spki), 'base64');
  }

  /** @throws KleidiError refused; nothing is changed then */
  async importKeks({ keks, ...name }: KeksOfRing, hooks: ImportHooks): Promise<void> {
    const arrivals = keks.map((kek) => arriving(name, kek));
    await this.#run({ kind: 'import', ring: name.ring, keks: arrivals }, async (child) => {
      await hooks.beforePersist((await child.receive()) as unknown as CheckedKeks);
      child.send(goOn);
      await this.#kept(child);
      await hooks.beforeTransportKeyDestroyed();
      child.send(goOn);
      await this.#kept(child);
    });
  }

  /** Whether the KEK was in the token until now. */
  async destroy(fp: Fingerprint): Promise<boolean> {
    const { destroyed } = await this.#run({ kind: 'destroy', fp }, (child) => this.#kept(child));
    return destroyed === true;
  }

  get #settings(): Pkcs11Settings {
    const { kind, store } = this.#at;
    const settings = tokenSettings(this.#config, kind);
    if (settings.tpm === undefined || store === undefined) return settings;
    return { ...settings, tpm: { ...settings.tpm, store } };
  }

  /** One answer for each seed; what is inside stays in the child. */
  async openSeeds(
    keks: readonly KekIdentity[],
    seeds: readonly SealedSeed[],
  ): Promise<readonly SeedAnswer[]> {
    const talk = async (child: TokenChild): Promise<SeedAnswer[]> => {
      const answers: SeedAnswer[] = [];
      for (const seed of seeds) {
        child.send(seed);
        answers.push((await child.receive()) as unknown as SeedAnswer);
      }
      return answers;
    };
    return this.#run(
      { kind: 'open', keks: keks.map(({ fp, check }) => ({ fp, check })) },
      talk,
      openTimeoutMs,
    );
  }

  /**
   * The child says that the token is changed: the change is on the disk before a
   * ring or a record names it. SoftHSM itself never calls fsync(2).
   */
  async #kept(child: TokenChild): Promise<Record<string, unknown>> {
    const answer = await child.receive();
    const folder = softHsmFolder(this.#settings.softhsmConf);
    if (folder !== undefined) await syncTree(folder);
    return answer;
  }

  async #run<T>(
    job: TokenJob,
    talk: (child: TokenChild) => Promise<T>,
    limitMs = timeoutMs,
  ): Promise<T> {
    const reference = pinReference(this.#config, this.#at.kind);
    const pin = await readSecret(reference, process.env);
    return this.#with(pin, job, talk, limitMs).catch((error: unknown) => {
      throw withPending(error, reference);
    });
  }

  async #with<T>(
    pin: string,
    job: TokenJob,
    talk: (child: TokenChild) => Promise<T>,
    limitMs = timeoutMs,
  ): Promise<T> {
    const settings = this.#settings;
    const child = TokenChild.start('token-work', {
      owner: tokenOwner(settings.softhsmConf),
      timeoutMs: limitMs,
      environment: this.#config.pkcs11.environment,
    });
    try {
      const request: TokenRequest = { settings, pin, job };
      child.send(request);
      return await talk(child);
    } finally {
      await child.end();
    }
  }
}

/** The token may have the PIN that waits. */
function withPending(error: unknown, reference: string): unknown {
  const pending = pendingSecret(reference);
  if (pending === undefined || !(error instanceof KleidiError) || error.code !== 'pin-refused')
    return error;
  return new KleidiError(error.code, `${error.message}; a change of the PIN was interrupted`, {
    hint: `kleidi pin set finishes or drops it: ${pending} has the new PIN`,
    cause: error,
  });
}

function arriving(ring: RingName, kek: BundleKek): ArrivingKek {
  const { fp, check, oaepHash, recipients, mac, vouchers } = kek;
  return {
    ...{ fp, check, oaepHash, parts: recipients.filter(({ role }) => role === 'host') },
    ...{ mac, macText: macText(ring, kek) },
    ...{ vouchers, vouchText: vouchText(ring.ringId, vouchedOf(kek)) },
  };
}
