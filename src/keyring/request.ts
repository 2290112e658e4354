// A request: the one-shot transport public key of a host that wants a KEK.
// Nothing in it is secret, and nothing in it proves where it comes from: that
// does its fingerprint, compared with what the host itself shows. It covers all
// of the request, so that none can be given out for another host or ring.
import { createHash } from 'node:crypto';
import { KleidiError } from '../errors.ts';
import { isRecord } from '../jsonvalue.ts';
import { isRingName } from './keyid.ts';
import {
  type NamedKey,
  type PublicKey,
  publicKeyOf,
  readNamedKey,
  requireOwnPem,
  spkiPem,
} from './publickey.ts';

export interface Request extends PublicKey {
  readonly ring: string;
  /** How the host calls itself; for people. */
  readonly host: string;
  /** Of the whole request, 64 hex digits; `recipient` is of its key alone. */
  readonly fingerprint: string;
}

export type RequestFile = NamedKey<Request>;

const kind = 'kleidi-request';
const hostForm = /^[A-Za-z0-9._:-]{1,253}$/;

/** @param host as it calls itself; where that is no name, the request says `unnamed` */
export function makeRequest(key: PublicKey, ring: string, host: string): Request {
  const named = { ...key, ring, host: hostForm.test(host) ? host : 'unnamed' };
  return { ...named, fingerprint: requestFingerprint(named) };
}

/** As an object with its fields in order: the same request has the same text. */
export function requestRecord({ ring, host, spki, fingerprint }: Request): object {
  return { format: 2, kind, ring, host, publicKey: spkiPem(spki), sha256: fingerprint };
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
  const { format, ring, host, publicKey, sha256, ...rest } = recordOf(text);
  if (rest['kind'] !== kind) throw new Error(`its kind is not ${kind}`);
  if (format === 1) throw new Error('an older kleidi has made it: run key request there again');
  if (format !== 2) throw new Error('this kleidi reads format 2');
  if (Object.keys(rest).length > 1) throw new Error('it has fields that are unknown');
  if (typeof ring !== 'string' || !isRingName(ring)) throw new Error('its ring is not a name');
  if (typeof host !== 'string' || !hostForm.test(host)) throw new Error('its host is not a name');
  if (typeof publicKey !== 'string') throw new Error('it holds no public key');
  const request = makeRequest(publicKeyOf(publicKey), ring, host);
  requireOwnPem(publicKey, request.spki);
  if (sha256 === request.fingerprint) return request;
  throw new Error('it is damaged or was changed: its sha256 is not the one of its contents');
}

/** RFC 8785: ASCII strings and a small integer, so JSON.stringify with sorted names. */
function requestFingerprint({ host, ring, spki }: Omit<Request, 'fingerprint'>): string {
  const covered = { format: 2, host, kind, ring, spki: spki.toString('base64') };
  return createHash('sha256').update(JSON.stringify(covered)).digest('hex');
}

function recordOf(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (isRecord(value)) return value;
  throw new Error('it is not a JSON object');
}

/** @throws KleidiError refused: a request of another ring, or one that is named twice */
export function requireRequests(ring: string, requests: readonly RequestFile[]): void {
  for (const { path, ring: theirs, host } of requests) {
    if (theirs === ring) continue;
    throw new KleidiError(
      'refused',
      `${path} is of host ${host} in ring '${theirs}', the KEK is of ring '${ring}'`,
      { hint: 'name the request of a host of this ring' },
    );
  }
  const names = requests.map(({ recipient }) => recipient);
  const twice = requests.find(({ recipient }, i) => names.indexOf(recipient) !== i);
  if (twice === undefined) return;
  throw new KleidiError(
    'refused',
    `${twice.path} is the same request as another one, or has its key`,
    { hint: 'name each host once; two hosts with one request are copies of one token' },
  );
}
