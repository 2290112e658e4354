// The Transit engine, as far as kleidi uses it: key versions, their fingerprints,
// encrypt and decrypt by an explicit version. All paths that the policy must
// allow are here.
import { KleidiError } from '../../errors.ts';
import type { Fingerprint } from '../provider.ts';
import type { Answer, Ask } from './http.ts';

export interface KeyVersions {
  readonly latest: number;
  /** Those that Transit still holds and lets decrypt. */
  readonly usable: readonly number[];
}

/** What a fingerprint is made over; the same text as in a PKCS#11 token. */
const fingerprintText = Buffer.from('kleidi/v1 key-fingerprint').toString('base64');
const fingerprintBytes = 16;

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
  async versions(timeoutMs: number): Promise<KeyVersions> {
    const { data } = await this.#ask({ method: 'GET', path: this.#path('keys'), timeoutMs });
    const { type, derived, latest_version, min_decryption_version, keys } = data as KeyData;
    if (type !== 'aes256-gcm96' || derived === true) throw unfit(this.#key, type, derived);
    const all = Object.keys(keys ?? {}).map(Number);
    return {
      latest: latest_version,
      usable: all.filter((version) => version >= min_decryption_version).sort((a, b) => a - b),
    };
  }

  /**
   * First 16 bytes of Transit's HMAC-SHA-256 under this version's own HMAC key:
   * bound to the key, so a remount or a fail-over keeps it.
   */
  async fingerprint(version: number, timeoutMs: number): Promise<Fingerprint> {
    const path = `${this.#path('hmac')}/sha2-256`;
    const body = { input: fingerprintText, key_version: version };
    const { data } = await this.#ask({ method: 'POST', path, body, timeoutMs });
    const [, , mac = ''] = String((data as Answer)['hmac']).split(':');
    const bytes = Buffer.from(mac, 'base64');
    if (bytes.length !== 32) throw malformed('hmac');
    return bytes.subarray(0, fingerprintBytes).toString('hex');
  }

  async encrypt(
    version: number,
    plaintext: Buffer,
    aad: Buffer,
    timeoutMs: number,
  ): Promise<Buffer> {
    const body = {
      plaintext: plaintext.toString('base64'),
      associated_data: aad.toString('base64'),
      key_version: version,
    };
    const path = this.#path('encrypt');
    const { data } = await this.#ask({ method: 'POST', path, body, timeoutMs });
    const ciphertext = String((data as Answer)['ciphertext']);
    // Never hand out what another version has sealed: the key id would lie.
    if (!ciphertext.startsWith(`vault:v${version}:`)) throw malformed('encrypt');
    return Buffer.from(ciphertext, 'ascii');
  }

  /** @throws KleidiError ciphertext-invalid, vault-* */
  async decrypt(
    version: number,
    ciphertext: Buffer,
    aad: Buffer,
    timeoutMs: number,
  ): Promise<Buffer> {
    const text = ciphertext.toString('latin1');
    if (!text.startsWith(`vault:v${version}:`)) {
      throw new KleidiError('ciphertext-invalid', 'the ciphertext is not of the KEK that it names');
    }
    const body = { ciphertext: text, associated_data: aad.toString('base64') };
    const path = this.#path('decrypt');
    const { data } = await this.#ask({ method: 'POST', path, body, timeoutMs });
    return Buffer.from(String((data as Answer)['plaintext']), 'base64');
  }

  #path(operation: string): string {
    return `${this.#mount}/${operation}/${this.#key}`;
  }
}

interface KeyData {
  readonly type: string;
  readonly derived?: boolean;
  readonly latest_version: number;
  readonly min_decryption_version: number;
  readonly keys?: Readonly<Record<string, unknown>>;
}

function unfit(key: string, type: string, derived: boolean | undefined): KleidiError {
  const what = derived === true ? 'derived' : `of type ${type}`;
  return new KleidiError('vault-key-unfit', `Transit key '${key}' is ${what}`, {
    hint: 'kleidi needs type=aes256-gcm96 without derivation: vault write -f transit/keys/NAME type=aes256-gcm96',
  });
}

function malformed(operation: string): KleidiError {
  return new KleidiError(
    'vault-failed',
    `Vault's answer to ${operation} is not what its API says`,
    {
      hint: 'something between here and Vault changes answers, or this Vault is older than 1.9',
    },
  );
}
