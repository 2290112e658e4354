// A request: the one-shot transport public key of a host that wants a KEK.
// Nothing in it is secret, and nothing in it proves where it comes from: that
// does its fingerprint, compared with what the host itself shows.
import { type NamedKey, type PublicKey, publicKeyOf, readNamedKey, spkiPem } from './publickey.ts';

export interface Request extends PublicKey {
  /** The ring of the host, where it has one. */
  readonly ring: string | null;
  /** How the host calls itself; for people. */
  readonly host: string;
}

export type RequestFile = NamedKey<Request>;

const hostForm = /^[A-Za-z0-9._:-]{1,253}$/;

/** As an object with its fields in order: the same request has the same text. */
export function requestRecord({ ring, host, spki, fingerprint }: Request): object {
  return {
    format: 1,
    kind: 'kleidi-request',
    ring,
    host: hostForm.test(host) ? host : 'unnamed',
    publicKey: spkiPem(spki),
    sha256: fingerprint,
  };
}

export function formatRequest(request: Request): string {
  return `${JSON.stringify(requestRecord(request), null, 2)}\n`;
}

/**
 * @param argument `FILE` or `FILE=SHA256`
 * @throws KleidiError file-failed, refused
 */
export function readRequest(argument: string): Promise<RequestFile> {
  return readNamedKey(argument, 'request', parseRequest);
}

/** Throws an Error that says why it is none. */
export function parseRequest(text: string): Request {
  const { format, kind, ring, host, publicKey, sha256 } = JSON.parse(text) as Record<
    string,
    unknown
  >;
  if (kind !== 'kleidi-request') throw new Error('its kind is not kleidi-request');
  if (format !== 1) throw new Error('it is not of format 1');
  if (ring !== null && typeof ring !== 'string') throw new Error('its ring is not a name');
  if (typeof host !== 'string' || !hostForm.test(host)) throw new Error('its host is not a name');
  if (typeof publicKey !== 'string') throw new Error('it holds no public key');
  const key = publicKeyOf(publicKey);
  if (sha256 !== key.fingerprint) {
    throw new Error('it is damaged: its sha256 is not the one of the key');
  }
  return { ...key, ring, host };
}
