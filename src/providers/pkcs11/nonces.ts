// The nonces of GCM, read from the kernel one by one. A generator in the memory of
// this process, such as OpenSSL's, would go on alike in two resumes of one snapshot
// of a virtual machine, and a nonce that comes twice under one KEK gives away what it
// sealed. The kernel learns of a resume, and mixes its generator anew (VMGENID, Linux
// 5.18; others within minutes). Node has no getrandom(2); the process has begun with
// one for OpenSSL, so the kernel's generator is ready.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { KleidiError, reasonOf } from '../../errors.ts';

export const nonceBytes = 12;

const urandom = '/dev/urandom';
/** Character device 1:9 (Documentation/admin-guide/devices.txt), as Linux puts it in st_rdev. */
const urandomDevice = 0x109;

/** @throws KleidiError file-failed where this host has no /dev/urandom, or something else there */
export function kernelNonces(): NonceSource {
  return new NonceSource(urandom, (fd) => {
    const found = fstatSync(fd);
    if (!found.isCharacterDevice() || found.rdev !== urandomDevice) {
      throw new Error('it is not the random device of the kernel');
    }
  });
}

export class NonceSource {
  readonly #path: string;
  #fd: number | undefined;

  /**
   * @param inspect throws an Error where what is open is not what it should be
   * @throws KleidiError file-failed
   */
  constructor(path: string, inspect: (fd: number) => void = () => undefined) {
    this.#path = path;
    try {
      this.#fd = openSync(path, 'r');
      inspect(this.#fd);
    } catch (cause) {
      this.close();
      throw failed(path, reasonOf(cause), cause);
    }
  }

  /** Nothing is read ahead. @throws KleidiError file-failed */
  next(): Buffer {
    // Once closed, the number may already be that of another file.
    if (this.#fd === undefined) throw failed(this.#path, 'it is closed');
    const nonce = Buffer.allocUnsafeSlow(nonceBytes);
    const count = readInto(nonce, this.#fd, this.#path);
    if (count !== nonceBytes) throw failed(this.#path, `it gave ${count} bytes, not ${nonceBytes}`);
    return nonce;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function readInto(nonce: Buffer, fd: number, path: string): number {
  try {
    return readSync(fd, nonce, 0, nonceBytes, null);
  } catch (cause) {
    throw failed(path, reasonOf(cause), cause);
  }
}

function failed(path: string, why: string, cause?: unknown): KleidiError {
  return new KleidiError('file-failed', `no nonce can be had from ${path}: ${why}`, {
    hint: 'nothing is sealed without one: the daemon needs /dev/urandom, as PrivateDevices=yes of its unit gives it',
    cause,
  });
}
