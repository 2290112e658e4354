// Fingerprint and check computed from key bytes, independently of any token
// (AES-CMAC, RFC 4493): what the tests hold the token's answer against.
import { createCipheriv } from 'node:crypto';

export function fingerprintOfKey(key: Buffer): string {
  return cmacOf(key, Buffer.from('kleidi/v1 key-fingerprint', 'ascii'));
}

export function checkOfKey(key: Buffer): string {
  return cmacOf(key, Buffer.from('kleidi/v1 key-check', 'ascii'));
}

/** @param text of 17 to 31 bytes */
function cmacOf(key: Buffer, text: Buffer): string {
  const zero = Buffer.alloc(16);
  const block = (data: Buffer): Buffer => {
    const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    return cipher.update(data);
  };
  // One whole block, and one padded with K2.
  const k2 = double(double(block(zero)));
  const last = Buffer.concat([text.subarray(16), Buffer.from([0x80]), Buffer.alloc(16)]).subarray(
    0,
    16,
  );
  return block(xor(block(text.subarray(0, 16)), xor(last, k2))).toString('hex');
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, i) => byte ^ (b[i] ?? 0)));
}

/** Doubling in GF(2^128). */
function double(value: Buffer): Buffer {
  const shifted = (BigInt(`0x${value.toString('hex')}`) << 1n) & ((1n << 128n) - 1n);
  const carry = ((value[0] ?? 0) & 0x80) === 0 ? 0n : 0x87n;
  return Buffer.from((shifted ^ carry).toString(16).padStart(32, '0'), 'hex');
}
