// Whether Transit binds additional data to what it seals. A server before Vault 1.13.0
// ignores the field, as it does every field that it does not know, and so does one behind
// a proxy that drops it: all opens as before, and header and key id are bound to nothing.
import { KleidiError } from '../../errors.ts';
import { otherSelfTestAad, selfTestAad } from '../domainseparation.ts';
import { isOutage } from './breaker.ts';
import type { Transit } from './transit.ts';

/** Not secret. */
export const knownText = Buffer.alloc(32, 0x6b);

/** What Vault has shown last. No answer changes nothing: it holds until Vault shows otherwise. */
export class Binding {
  readonly #transit: Transit;
  /** Why nothing is sealed or opened, whatever Vault would answer. */
  #unbound: KleidiError | undefined;
  #isProven = false;

  constructor(transit: Transit) {
    this.#transit = transit;
  }

  get isDisproved(): boolean {
    return this.#unbound !== undefined;
  }

  /** @throws KleidiError vault-unbound */
  requireNotDisproved(): void {
    if (this.#unbound !== undefined) throw this.#unbound;
  }

  /** Nothing is sealed before it was shown once. @throws KleidiError as `prove` */
  async requireProven(version: number): Promise<void> {
    if (!this.#isProven) await this.prove(version);
  }

  /**
   * @returns why Vault lets this host prove nothing; undefined where it is proven
   * @throws KleidiError vault-unbound, or an outage
   */
  async tryToProve(version: number): Promise<KleidiError | undefined> {
    try {
      await this.prove(version);
      return undefined;
    } catch (thrown) {
      const error = KleidiError.from(thrown);
      if (isOutage(error) || error.code === 'vault-unbound') throw error;
      return error;
    }
  }

  /** @throws KleidiError as `proveBinding` */
  async prove(version: number): Promise<void> {
    try {
      await proveBinding(this.#transit, version);
      this.#unbound = undefined;
      this.#isProven = true;
    } catch (thrown) {
      const error = KleidiError.from(thrown);
      if (error.code === 'vault-unbound') this.#unbound = error;
      throw error;
    }
  }
}

/**
 * Seals a known text, opens it, and wants a refusal where the additional data are others.
 * @throws KleidiError vault-unbound where those open too, vault-failed where the answer is
 *   wrong otherwise; any other vault-* means that there was no answer to judge
 */
async function proveBinding(transit: Transit, version: number): Promise<void> {
  const sealed = await sealKnown(transit, version, selfTestAad);
  if (sealed === undefined) throw wrongAnswer();
  const unbound = await openWith(transit, version, sealed, otherSelfTestAad);
  if (unbound !== undefined) throw notBound();
}

/**
 * The known text, sealed with these additional data, which has opened once with them.
 * Undefined where it does not open to the same. @throws KleidiError vault-*
 */
export async function sealKnown(
  transit: Transit,
  version: number,
  aad: Buffer,
): Promise<Buffer | undefined> {
  const sealed = await transit.encrypt(version, knownText, aad);
  const opened = await openWith(transit, version, sealed, aad);
  return opened?.equals(knownText) === true ? sealed : undefined;
}

/** Undefined where Transit says that it does not open. @throws KleidiError vault-* */
export async function openWith(
  transit: Transit,
  version: number,
  sealed: Buffer,
  aad: Buffer,
): Promise<Buffer | undefined> {
  try {
    return await transit.decrypt(version, sealed, aad);
  } catch (thrown) {
    if (KleidiError.from(thrown).code === 'ciphertext-invalid') return undefined;
    throw thrown;
  }
}

function notBound(): KleidiError {
  return new KleidiError(
    'vault-unbound',
    'Vault opens a ciphertext with other additional data than it was sealed with',
    {
      hint: 'the server is too old, or something before it drops associated_data: kleidi needs Vault 1.13 or OpenBao 2.0, or newer; until then its KEKs are not used',
    },
  );
}

function wrongAnswer(): KleidiError {
  return new KleidiError(
    'vault-failed',
    'Vault does not open what it has just sealed to the same again',
    { hint: 'trust nothing that this server answers; see its log and storage' },
  );
}
