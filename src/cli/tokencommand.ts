// Token work as the other verbs ask for it: each job in a child of its own, the
// PIN over a pipe.
import type { Config } from '../config.ts';
import { readSecret } from '../host/credentials.ts';
import { pkcs11Settings } from '../providers/open.ts';
import { TokenChild, tokenOwner } from '../providers/pkcs11/child.ts';
import type { Fingerprint, KekDescription } from '../providers/provider.ts';
import type { SealedSeed, SeedAnswer } from './openseeds.ts';
import type { TokenJob, TokenRequest } from './tokenwork.ts';

/** Making an RSA-4096 key in SoftHSM takes seconds; a hung module must end. */
const timeoutMs = 120_000;
/** A snapshot may hold a sealed seed for each object. */
const openTimeoutMs = 1_800_000;

export interface WrappedForRecipients {
  readonly fp: Fingerprint;
  readonly oaepHash: 'sha1' | 'sha256';
  /** base64, in the order of the recipients */
  readonly wrapped: readonly string[];
}

export class TokenCommand {
  readonly #config: Config;

  constructor(config: Config) {
    this.#config = config;
  }

  /** @throws KleidiError refused, module-failed */
  async initialize(soPin: string): Promise<void> {
    await this.#run({ kind: 'initialize', soPin }, (child) => child.receive());
  }

  async list(): Promise<readonly KekDescription[]> {
    const { keks } = await this.#run({ kind: 'list' }, (child) => child.receive());
    return keks as readonly KekDescription[];
  }

  /** `store` runs before anything persists in the token. */
  async create(
    label: string,
    spkis: readonly Buffer[],
    store: (kek: WrappedForRecipients) => Promise<void>,
  ): Promise<Fingerprint> {
    const job = {
      kind: 'create',
      label,
      spkis: spkis.map((spki) => spki.toString('base64')),
    } as const;
    const { kept } = await this.#run(job, async (child) => {
      await store((await child.receive()) as unknown as WrappedForRecipients);
      child.send({ keep: true });
      return child.receive();
    });
    return String(kept);
  }

  /** Whether the KEK was in the token until now. */
  async destroy(fp: Fingerprint): Promise<boolean> {
    const { destroyed } = await this.#run({ kind: 'destroy', fp }, (child) => child.receive());
    return destroyed === true;
  }

  /** One answer for each seed; what is inside stays in the child. */
  async openSeeds(
    fps: readonly Fingerprint[],
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
    return this.#run({ kind: 'open', fps }, talk, openTimeoutMs);
  }

  async #run<T>(
    job: TokenJob,
    talk: (child: TokenChild) => Promise<T>,
    limitMs = timeoutMs,
  ): Promise<T> {
    const settings = pkcs11Settings(this.#config);
    const pin = await readSecret(this.#config.pkcs11.pin, process.env);
    const child = TokenChild.start('token-work', tokenOwner(settings.softhsmConf), limitMs);
    try {
      const request: TokenRequest = { settings, pin, job };
      child.send(request);
      return await talk(child);
    } finally {
      await child.end();
    }
  }
}
