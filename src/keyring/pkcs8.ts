// A private key under a passphrase: PKCS#8 with PBES2, scrypt (RFC 7914) and
// AES-256-CBC. node:crypto reads that form but cannot write it, so the DER is
// put together here; any OpenSSL from 1.1 on opens it without kleidi.
import { createCipheriv, randomBytes, scryptSync } from 'node:crypto';

/**
 * About half a second a guess. N as high as OpenSSL goes with its default
 * limit of 32 MiB; p makes up for it.
 */
const cost = { N: 16_384, r: 8, p: 16 } as const;
const maxmem = 64 * 1024 * 1024;

const oid = {
  pbes2: '2a864886f70d01050d',
  scrypt: '2b06010401da47040b',
  aes256Cbc: '60864801650304012a',
} as const;

/** @returns PEM, ENCRYPTED PRIVATE KEY */
export function encryptPkcs8(pkcs8: Buffer, passphrase: Buffer): string {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const key = scryptSync(passphrase, salt, 32, { ...cost, maxmem });
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const encrypted = Buffer.concat([cipher.update(pkcs8), cipher.final()]);
  key.fill(0);
  const derivation = sequence(
    object(oid.scrypt),
    sequence(octets(salt), integer(cost.N), integer(cost.r), integer(cost.p)),
  );
  const encryption = sequence(object(oid.aes256Cbc), octets(iv));
  const algorithm = sequence(object(oid.pbes2), sequence(derivation, encryption));
  return pem(sequence(algorithm, octets(encrypted)));
}

/** PKCS#8 of ML-KEM-1024 as node:crypto exports it (RFC 9935): seed and expanded key. */
const mlKemBothPrefix = Buffer.from(
  '30820cbe020100300b060960864801650304040304820caa30820ca60440',
  'hex',
);
const mlKemSeedPrefix = Buffer.from('3054020100300b060960864801650304040304428040', 'hex');
const mlKemSeedBytes = 64;

/**
 * The same ML-KEM-1024 key as its seed alone, from which every reader makes the rest, so
 * that the two cannot differ. Wipes what it gets. Throws an Error on another form.
 */
export function mlKemSeedPkcs8(pkcs8: Buffer): Buffer {
  const prefix = pkcs8.subarray(0, mlKemBothPrefix.length);
  if (!prefix.equals(mlKemBothPrefix)) throw new Error('OpenSSL exports ML-KEM in another form');
  const seed = pkcs8.subarray(prefix.length, prefix.length + mlKemSeedBytes);
  const short = Buffer.concat([mlKemSeedPrefix, seed]);
  pkcs8.fill(0);
  return short;
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  const label = 'ENCRYPTED PRIVATE KEY';
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function octets(bytes: Buffer): Buffer {
  return tagged(0x04, bytes);
}

function object(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'));
}

/** A leading zero byte keeps it positive. */
function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return tagged(0x02, (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.alloc(1), bytes]));
}

function tagged(tag: number, contents: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, ...derLength(contents.length)]), contents]);
}

function derLength(length: number): number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}
