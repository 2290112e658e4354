// The Transit engine, as far as kleidi uses it: key versions, their fingerprints,
// encrypt and decrypt by an explicit version. All paths that the policy must
// allow are here.
import { KleidiError } from '../../errors.ts';
import { fingerprintText } from '../domainseparation.ts';
import type { KekIdentity } from '../provider.ts';
import {
  type Answer,
  bodyOf,
  ciphertextIn,
  keyMetadataIn,
  macIn,
  nonceBytes,
  plaintextIn,
  tagBytes,
} from './answers.ts';
import type { Ask } from './http.ts';
import type { KeySettings } from './keysettings.ts';

interface KeyVersions {
  /** Those that Transit still holds and lets decrypt, in rising order. */
  readonly usable: readonly number[];
  /** Versions below it neither encrypt nor tell their fingerprint. */
  readonly minEncryption: number;
  readonly settings: KeySettings;
}

/** The same text as in a PKCS#11 token. */
const identityText = Buffer.from(fingerprintText, 'ascii').toString('base64');
const fingerprintBytes = 16;
/** Some thousand versions; one has about 20 bytes. */
const metadataBytes = 2 ** 20;

/** For looks and tests, which nobody waits for. */
const backgroundTimeoutMs = 2_000;

type Asker = (ask: Omit<Ask, 'token'>) => Promise<Answer>;

export class Transit {
  readonly #ask: Asker;
  readonly #mount: string;
  readonly #key: string;

  constructor(ask: Asker, mount: string, key: string) {
    this.#ask = ask;
    this.#mount = mount;
    this.#key = key;
  }

  /** @throws KleidiError vault-* */
  async versions(timeoutMs = backgroundTimeoutMs): Promise<KeyVersions> {
    const ask = { method: 'GET', path: this.#path('keys'), timeoutMs } as const;
    const key = keyMetadataIn(await this.#ask({ ...ask, maxBodyBytes: metadataBytes }));
    if (key.type !== 'aes256-gcm96' || key.derived) throw unfit(this.#key, key.type, key.derived);
    const usable = key.versions.filter((version) => version >= key.minDecryption);
    return { usable, minEncryption: key.minEncryption, settings: key };
  }

  /**
   * The halves of Transit's HMAC-SHA-256 under this version's own HMAC key: bound to
   * the key, so a remount or a fail-over keeps them.
   */
  async identity(version: number, timeoutMs = backgroundTimeoutMs): Promise<KekIdentity> {
    const path = `${this.#path('hmac')}/sha2-256`;
    const body = { input: identityText, key_version: version };
    const mac = macIn(await this.#ask({ method: 'POST', path, body, timeoutMs }), version);
    const [fp, check] = [mac.subarray(0, fingerprintBytes), mac.subarray(fingerprintBytes)];
    return { fp: fp.toString('hex'), check: check.toString('hex') };
  }

  async encrypt(
    version: number,
    plaintext: Buffer,
    aad: Buffer,
    timeoutMs = backgroundTimeoutMs,
  ): Promise<Buffer> {
    const body = {
      plaintext: plaintext.toString('base64'),
      associated_data: aad.toString('base64'),
      key_version: version,
    };
    const path = this.#path('encrypt');
    const answer = await this.#ask({ method: 'POST', path, body, timeoutMs });
    return ciphertextIn(answer, version, plaintext.length);
  }

  /** @throws KleidiError ciphertext-invalid, vault-* */
  async decrypt(
    version: number,
    ciphertext: Buffer,
    aad: Buffer,
    timeoutMs = backgroundTimeoutMs,
  ): Promise<Buffer> {
    const text = ciphertext.toString('latin1');
    const sealedBytes = bodyOf(text, version)?.length ?? 0;
    const plaintextBytes = sealedBytes - nonceBytes - tagBytes;
    if (plaintextBytes < 1) {
      throw new KleidiError('ciphertext-invalid', 'the ciphertext is not of the KEK that it names');
    }
    const body = { ciphertext: text, associated_data: aad.toString('base64') };
    const path = this.#path('decrypt');
    return plaintextIn(await this.#ask({ method: 'POST', path, body, timeoutMs }), plaintextBytes);
  }

  #path(operation: string): string {
    return `${this.#mount}/${operation}/${this.#key}`;
  }
}

function unfit(key: string, type: string, derived: boolean): KleidiError {
  const what = derived ? 'derived' : `of type ${type}`;
  return new KleidiError('vault-key-unfit', `Transit key '${key}' is ${what}`, {
    hint: 'kleidi needs type=aes256-gcm96 without derivation: vault write -f transit/keys/NAME type=aes256-gcm96',
  });
}
