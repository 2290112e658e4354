// The three calls of KMS v2 in plain types: limits, then the keyring, then
// the provider. gRPC stops at server.ts. Bad requests never change health.
import { KleidiError } from '../errors.ts';
import { additionalData, open, requirePlaintext, seal } from '../keyring/envelope.ts';
import { parseKeyId } from '../keyring/keyid.ts';
import type { Target } from '../keyring/keyring.ts';
import { algorithmOf } from '../providers/algorithm.ts';
import type { EncryptResponse } from './contract.ts';
import { Gate } from './limits.ts';
import type { Serving } from './serving.ts';

export interface CallContext {
  /** Why the answer is not wanted any more, if so. */
  over(): KleidiError | undefined;
}

/** @param endMs in the clock of performance.now() */
export function contextUntil(endMs: number, isCancelled: () => boolean): CallContext {
  return {
    over() {
      if (isCancelled()) return new KleidiError('cancelled', 'the client cancelled the request');
      return performance.now() >= endMs
        ? new KleidiError('deadline', 'the deadline of the request has passed')
        : undefined;
    },
  };
}

/** kube-apiserver's limit for a key id (kmsv2/envelope.go). */
const maxKeyIdBytes = 1024;

export class KmsService {
  readonly #serving: Serving;
  readonly #gate: Gate;

  constructor(serving: Serving, queueLimit: number) {
    this.#serving = serving;
    this.#gate = new Gate(queueLimit);
  }

  /** Calls that wait for the token or are in it. */
  get inWork(): number {
    return this.#gate.inside;
  }

  /** @throws KleidiError where the write KEK must not be used */
  status(): { readonly healthz: string; readonly keyId: string } {
    const health = this.#serving.health();
    if (health.kind === 'failed') throw health.error;
    return health;
  }

  async encrypt(plaintext: Buffer, context: CallContext): Promise<EncryptResponse> {
    requirePlaintext(plaintext);
    return this.#gate.run(async () => {
      requireWanted(context);
      const { provider, fp, keyId } = this.#serving.requireKeyring().writeTarget();
      const { alg } = algorithmOf(provider.kind);
      requirePlaintext(plaintext, alg);
      this.#serving.uses.countEncrypt(fp);
      const aad = additionalData(alg, fp, keyId);
      const body = await provider.wrap(fp, plaintext, aad);
      return { ciphertext: seal({ alg, fp, body }), keyId };
    });
  }

  async decrypt(ciphertext: Buffer, keyId: string, context: CallContext): Promise<Buffer> {
    const envelope = open(ciphertext);
    if (keyId.length > maxKeyIdBytes) {
      throw new KleidiError('key-id-invalid', `the key id has more than ${maxKeyIdBytes} bytes`);
    }
    return this.#gate.run(async () => {
      requireWanted(context);
      const { provider, fp } = this.#readTarget(keyId);
      if (envelope.fp !== fp) {
        throw new KleidiError('key-id-mismatch', 'ciphertext and key id name different KEKs');
      }
      if (envelope.alg !== algorithmOf(provider.kind).alg) {
        throw new KleidiError(
          'ciphertext-invalid',
          `algorithm ${envelope.alg} is not the one of KEK ${fp}`,
        );
      }
      const plaintext = await provider.unwrap(
        fp,
        envelope.body,
        additionalData(envelope.alg, fp, keyId),
      );
      this.#serving.uses.countDecrypt(fp);
      return plaintext;
    });
  }

  /** What asks for a retired KEK is counted: it must not be destroyed yet. */
  #readTarget(keyId: string): Target {
    try {
      return this.#serving.requireKeyring().readTarget(keyId);
    } catch (error) {
      if (KleidiError.from(error).code === 'kek-retired') {
        this.#serving.uses.countRefusal(parseKeyId(keyId).fp);
      }
      throw error;
    }
  }
}

function requireWanted(context: CallContext): void {
  const over = context.over();
  if (over !== undefined) throw over;
}
