// RSA public keys that KEKs are wrapped for. Two values name them, and are not the
// same: `recipient`, by which tokens and bundles address a key, and `fingerprint`,
// which a person compares with what the owner shows. The recovery key: hybrid.ts.
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { KleidiError, reasonOf } from '../errors.ts';
import { requireRsaKey } from '../providers/rsakey.ts';
import { readTextFile } from '../readfile.ts';

export interface PublicKey {
  readonly spki: Buffer;
  /** SHA-256 of the SPKI, 64 hex digits. */
  readonly recipient: string;
}

/** What came in a file, and could have been swapped on its way. */
interface Compared {
  /** What people compare, 64 hex digits. */
  readonly fingerprint: string;
}

/** A key out of a file that was named as `FILE` or `FILE=SHA256`. */
export type NamedKey<T extends Compared = Compared> = T & {
  readonly path: string;
  /** The fingerprint was named with it, and is the right one. */
  readonly confirmed: boolean;
};

/** @param key PEM, or an RSA key as JWK. Throws an Error that says why it is not fit. */
export function publicKeyOf(key: string | JsonWebKey): PublicKey {
  if (typeof key === 'string' && /PRIVATE KEY/.test(key)) {
    throw new Error('it is a private key, which must stay with its owner');
  }
  return publicKeyOfObject(createPublicKey(typeof key === 'string' ? key : { key, format: 'jwk' }));
}

/** Throws an Error where the text is another one of this key, or has more in it. */
export function requireOwnPem(text: string, spki: Buffer): void {
  if (text !== spkiPem(spki))
    throw new Error('its public key is in another form than PEM as kleidi writes it');
}

/** Also of a private key: its public half. Throws an Error that says why it is not fit. */
export function publicKeyOfObject(key: KeyObject): PublicKey {
  requireRsaKey(key);
  const half = key.type === 'private' ? createPublicKey(key) : key;
  const spki = half.export({ format: 'der', type: 'spki' });
  return { spki, recipient: recipientOf(spki) };
}

/** In hex. */
export function recipientOf(spki: Buffer): string {
  return createHash('sha256').update(spki).digest('hex');
}

export function spkiPem(spki: Buffer): string {
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  return key.export({ format: 'pem', type: 'spki' }).toString();
}

/**
 * @param what for people: 'recovery key', 'request'
 * @param parse throws an Error that says why the text is not one
 * @throws KleidiError file-failed, refused (not such a key, or another one than named)
 */
export async function readNamedKey<T extends Compared>(
  argument: string,
  what: string,
  parse: (text: string) => T,
): Promise<NamedKey<T>> {
  const named = /^(.*)=(?:sha256:)?([0-9a-fA-F]{64})$/.exec(argument);
  const [, path = argument, expected] = named ?? [];
  const hint = `name the file with the ${what}, as FILE or FILE=SHA256`;
  const text = await readTextFile(path, `${what} ${path}`, hint);
  const key = parseOrRefuse(text, path, what, parse);
  if (expected !== undefined && expected.toLowerCase() !== key.fingerprint) {
    throw new KleidiError(
      'refused',
      `${path} is not the expected ${what}: its fingerprint is ${key.fingerprint}`,
      { hint: 'the file may have been replaced: fetch it again from its source' },
    );
  }
  return { ...key, path, confirmed: expected !== undefined };
}

function parseOrRefuse<T>(text: string, path: string, what: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (cause) {
    if (cause instanceof KleidiError) throw cause;
    const why = reasonOf(cause);
    throw new KleidiError('refused', `${path} is not a ${what}: ${why}`, {
      hint:
        what === 'request'
          ? 'make it on the host that shall have the KEK: kleidi key request --out FILE'
          : 'name the public file that this made: kleidi recovery create',
      cause,
    });
  }
}
