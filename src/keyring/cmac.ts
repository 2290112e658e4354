// AES-CMAC (RFC 4493) with node:crypto: what a KEK is known by, without a
// token, for the offline machine. Everything derived from the key is wiped.
import { createCipheriv } from 'node:crypto';
import { checkText, fingerprintText } from '../providers/domainseparation.ts';
import type { KekIdentity } from '../providers/provider.ts';

const blockBytes = 16;

/** @param key 16, 24 or 32 bytes */
export function aesCmac(key: Buffer, message: Buffer): Buffer {
  const subkey = subkeyFor(key, isWhole(message));
  const padded = pad(message);
  const last = padded.subarray(padded.length - blockBytes);
  subkey.forEach((byte, i) => {
    last[i] = (last[i] ?? 0) ^ byte;
  });
  subkey.fill(0);
  const cipher = createCipheriv(`aes-${8 * key.length}-cbc`, key, Buffer.alloc(blockBytes));
  return Buffer.from(cipher.setAutoPadding(false).update(padded).subarray(-blockBytes));
}

export function identityOfKek(kek: Buffer): KekIdentity {
  const mac = (text: string): string => aesCmac(kek, Buffer.from(text, 'ascii')).toString('hex');
  return { fp: mac(fingerprintText), check: mac(checkText) };
}

function isWhole(message: Buffer): boolean {
  return message.length > 0 && message.length % blockBytes === 0;
}

function pad(message: Buffer): Buffer {
  if (isWhole(message)) return Buffer.from(message);
  const padded = Buffer.alloc(message.length + blockBytes - (message.length % blockBytes));
  message.copy(padded);
  padded[message.length] = 0x80;
  return padded;
}

/** K1 for a message of whole blocks, K2 for any other. */
function subkeyFor(key: Buffer, whole: boolean): Buffer {
  const cipher = createCipheriv(`aes-${8 * key.length}-ecb`, key, null).setAutoPadding(false);
  const subkey = Buffer.from(cipher.update(Buffer.alloc(blockBytes)));
  double(subkey);
  if (!whole) double(subkey);
  return subkey;
}

/** In place, in GF(2^128). */
function double(value: Buffer): void {
  const carry = ((value[0] ?? 0) & 0x80) === 0 ? 0 : 0x87;
  for (let i = 0; i < value.length; i += 1) {
    value[i] = (((value[i] ?? 0) << 1) | ((value[i + 1] ?? 0) >> 7)) & 0xff;
  }
  const end = value.length - 1;
  value[end] = (value[end] ?? 0) ^ carry;
}
