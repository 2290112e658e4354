// The ciphertext: "kl" | version 1 | alg 1 | fingerprint 16 | body. For
// AES-256-GCM the body is nonce 12 | ciphertext | tag 16, so a 32-byte seed
// becomes 80 bytes. alg 2 is Vault Transit's text: 109 bytes from its version 1
// (providers/algorithm.ts). Everything that can be refused is refused here, before any
// call to a token. test/vectors/ holds ciphertexts that must open for ever.
import { KleidiError } from '../errors.ts';
import { algorithmNamed, largestPlaintextBytes } from '../providers/algorithm.ts';
import type { Fingerprint } from '../providers/provider.ts';

const magic = Buffer.from('kl', 'ascii');
const formatVersion = 0x01;
const headerBytes = 20;

/** kube-apiserver refuses ciphertexts above 1024 bytes (kmsv2/envelope.go). */
const maxCiphertextBytes = 1024;

interface Envelope {
  readonly alg: number;
  readonly fp: Fingerprint;
  readonly body: Buffer;
}

export function header(alg: number, fp: Fingerprint): Buffer {
  return Buffer.concat([magic, Buffer.from([formatVersion, alg]), Buffer.from(fp, 'hex')]);
}

/** Binds header and key id: neither can be changed without the tag failing. */
export function additionalData(alg: number, fp: Fingerprint, keyId: string): Buffer {
  return Buffer.concat([header(alg, fp), Buffer.from(keyId, 'utf8')]);
}

/**
 * @param alg undefined where it is not known yet: the largest limit holds
 * @throws KleidiError plaintext-invalid
 */
export function requirePlaintext(plaintext: Buffer, alg?: number): void {
  const known = alg === undefined ? undefined : algorithmNamed(alg);
  const mostBytes = known?.maxPlaintextBytes ?? largestPlaintextBytes;
  if (plaintext.length >= 1 && plaintext.length <= mostBytes) return;
  const which = alg === undefined ? '' : `by algorithm ${alg} `;
  throw new KleidiError(
    'plaintext-invalid',
    `the plaintext has ${plaintext.length} bytes, allowed ${which}are 1 to ${mostBytes}`,
  );
}

export function seal({ alg, fp, body }: Envelope): Buffer {
  return Buffer.concat([header(alg, fp), body]);
}

/** @throws KleidiError ciphertext-invalid */
export function open(ciphertext: Buffer): Envelope {
  if (ciphertext.length > maxCiphertextBytes)
    throw invalid(`has ${ciphertext.length} bytes, the limit is ${maxCiphertextBytes}`);
  if (ciphertext.length < headerBytes)
    throw invalid(`has ${ciphertext.length} bytes, fewer than its header`);
  if (!ciphertext.subarray(0, 2).equals(magic)) throw invalid('was not made by kleidi');
  const [version, alg] = [ciphertext.readUInt8(2), ciphertext.readUInt8(3)];
  if (version !== formatVersion)
    throw invalid(`is of format ${version}, this kleidi reads format 1`);
  const known = algorithmNamed(alg);
  if (known === undefined) throw invalid(`uses algorithm ${alg}, which this kleidi does not know`);
  const body = ciphertext.subarray(headerBytes);
  if (body.length < known.minBodyBytes) throw invalid('is cut short');
  return { alg, fp: ciphertext.subarray(4, headerBytes).toString('hex'), body };
}

function invalid(why: string): KleidiError {
  return new KleidiError('ciphertext-invalid', `the ciphertext ${why}`);
}
