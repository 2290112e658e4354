// What Vault answers, checked whole before it is used: types, key version, canonical
// base64 of the one length that is due. Whatever is otherwise is vault-failed, so
// that no junk leaves as a plaintext, a ciphertext or a fingerprint. No I/O here.
import { KleidiError } from '../../errors.ts';
import { isRecord } from '../../jsonvalue.ts';

/** The JSON object of an answer's body. */
export type Answer = Readonly<Record<string, unknown>>;

export interface Login {
  readonly token: string;
  /** 0: does not expire. */
  readonly leaseMs: number;
  readonly renewable: boolean;
}

export interface KeyMetadata {
  readonly type: string;
  readonly derived: boolean;
  /** The key can be read out in clear. */
  readonly exportable: boolean;
  readonly plaintextBackup: boolean;
  readonly deletable: boolean;
  readonly latest: number;
  readonly minDecryption: number;
  /** 0: no limit. */
  readonly minEncryption: number;
  /** In rising order. */
  readonly versions: readonly number[];
}

export const nonceBytes = 12;
export const tagBytes = 16;
const macBytes = 32;
/** Vault's own tokens have about 100 characters, batch tokens some thousand. */
const maxTokenChars = 16_384;
const maxLeaseS = Math.floor(Number.MAX_SAFE_INTEGER / 1000);
const maxVersion = 999_999_999;

/** Of login and renew-self. @throws KleidiError vault-login-failed without a token, vault-failed */
export function loginIn(answer: Answer, operation: string): Login {
  const auth = recordIn(answer, 'auth', operation);
  const token = auth['client_token'];
  if (token === '') {
    throw new KleidiError('vault-login-failed', 'Vault answered a login without a token', {
      hint: 'the auth mount may demand multi-factor login, which a service cannot do',
    });
  }
  const { lease_duration: leaseS, renewable } = auth;
  if (!isToken(token) || !isNumber(leaseS, maxLeaseS) || typeof renewable !== 'boolean') {
    throw malformed(operation);
  }
  return { token, leaseMs: leaseS * 1000, renewable };
}

/** Of lookup-self; a root token has no `renewable`. @throws KleidiError vault-failed */
export function lookupIn(answer: Answer, token: string): Login {
  const operation = 'lookup-self';
  const { ttl, renewable = false } = recordIn(answer, 'data', operation);
  if (!isNumber(ttl, maxLeaseS) || typeof renewable !== 'boolean') throw malformed(operation);
  return { token, leaseMs: ttl * 1000, renewable };
}

/** @throws KleidiError vault-failed */
export function keyMetadataIn(answer: Answer): KeyMetadata {
  const data = recordIn(answer, 'data', 'keys');
  const { type, derived = false, latest_version: latest } = data;
  const { min_decryption_version: minDecryption, min_encryption_version: minEncryption } = data;
  const { exportable, allow_plaintext_backup: plaintextBackup } = data;
  const { deletion_allowed: deletable } = data;
  const areFlags =
    typeof exportable === 'boolean' &&
    typeof plaintextBackup === 'boolean' &&
    typeof deletable === 'boolean';
  const isWhole =
    typeof type === 'string' &&
    /^[a-z0-9_-]{1,64}$/i.test(type) &&
    typeof derived === 'boolean' &&
    isNumber(latest, maxVersion) &&
    isNumber(minDecryption, maxVersion) &&
    isNumber(minEncryption, maxVersion);
  if (!isWhole || !areFlags) throw malformed('keys');
  const versions = versionsIn(data, latest);
  const flags = { exportable, plaintextBackup, deletable };
  return { type, derived, ...flags, latest, minDecryption, minEncryption, versions };
}

/** A key pair has an object for each version, so only the names are looked at. */
function versionsIn(data: Answer, latest: number): readonly number[] {
  const names = Object.keys(recordIn(data, 'keys', 'keys'));
  const versions = names.map((name) => (/^[1-9][0-9]{0,8}$/.test(name) ? Number(name) : 0));
  if (versions.some((version) => version === 0 || version > latest)) throw malformed('keys');
  return versions.sort((a, b) => a - b);
}

/** HMAC-SHA-256 of this key version. @throws KleidiError vault-failed */
export function macIn(answer: Answer, version: number): Buffer {
  const mac = bodyOf(recordIn(answer, 'data', 'hmac')['hmac'], version);
  if (mac?.length !== macBytes) throw malformed('hmac');
  return mac;
}

/**
 * The text as it is, once it is known to be what this version makes of a plaintext
 * of that length: what another version has sealed would make the key id lie.
 * @throws KleidiError vault-failed
 */
export function ciphertextIn(answer: Answer, version: number, plaintextBytes: number): Buffer {
  const text = recordIn(answer, 'data', 'encrypt')['ciphertext'];
  const dueBytes = nonceBytes + plaintextBytes + tagBytes;
  if (typeof text !== 'string' || bodyOf(text, version)?.length !== dueBytes) {
    throw malformed('encrypt');
  }
  return Buffer.from(text, 'ascii');
}

/** @throws KleidiError vault-failed */
export function plaintextIn(answer: Answer, dueBytes: number): Buffer {
  const plaintext = base64In(recordIn(answer, 'data', 'decrypt')['plaintext']);
  if (plaintext?.length !== dueBytes) throw malformed('decrypt');
  return plaintext;
}

/** What follows `vault:vN:`, decoded; undefined where the text is anything else. */
export function bodyOf(text: unknown, version: number): Buffer | undefined {
  const prefix = `vault:v${version}:`;
  if (typeof text !== 'string' || !text.startsWith(prefix)) return undefined;
  return base64In(text.slice(prefix.length));
}

/** Node skips what is not base64, so what it decodes must encode to the same text again. */
function base64In(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

function recordIn(answer: Answer, name: string, operation: string): Answer {
  const value = answer[name];
  if (isRecord(value)) return value;
  throw malformed(operation);
}

/** Goes into a header, so nothing but visible ASCII. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && value.length <= maxTokenChars && /^[\x21-\x7e]+$/.test(value);
}

function isNumber(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most;
}

export function malformed(operation: string): KleidiError {
  return new KleidiError(
    'vault-failed',
    `Vault's answer to ${operation} is not what its API says`,
    { hint: 'something between here and Vault changes answers, or this Vault is older than 1.13' },
  );
}
