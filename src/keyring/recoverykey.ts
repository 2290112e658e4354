// The private half of the recovery key: made, written and opened on a machine that is
// offline. Its file is JSON of format 2 around two encrypted PKCS#8 PEMs, one RSA key
// and one ML-KEM-1024 key, under one passphrase.
import { createPrivateKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { KleidiError, reasonOf } from '../errors.ts';
import { readTextFile } from '../readfile.ts';
import { type HybridPrivateKey, type HybridPublicKey, hybridOf } from './hybrid.ts';
import { encryptPkcs8, mlKemSeedPkcs8 } from './pkcs8.ts';

interface NewRecoveryKey extends HybridPublicKey {
  /** Text of the private file. */
  readonly file: string;
}

const kind = 'kleidi-recovery-key';
const rsaBits = 4096;
const generate = promisify(generateKeyPair);

export async function makeRecoveryKey(passphrase: Buffer): Promise<NewRecoveryKey> {
  const { privateKey: rsa } = await generate('rsa', { modulusLength: rsaBits });
  const { privateKey: kem } = await generate('ml-kem-1024', undefined);
  const key = hybridOf(rsa, kem);
  const file = {
    format: 2,
    kind,
    sha256: key.fingerprint,
    rsaPrivateKey: encrypted(pkcs8Of(rsa), passphrase),
    mlKemPrivateKey: encrypted(mlKemSeedPkcs8(pkcs8Of(kem)), passphrase),
  };
  return { ...key, file: `${JSON.stringify(file, null, 2)}\n` };
}

function pkcs8Of(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'pkcs8' });
}

/** Wipes the key. */
function encrypted(pkcs8: Buffer, passphrase: Buffer): string {
  const pem = encryptPkcs8(pkcs8, passphrase);
  pkcs8.fill(0);
  return pem;
}

/** @throws KleidiError file-failed, refused (wrong passphrase, or not such a file) */
export async function openRecoveryKey(path: string, passphrase: Buffer): Promise<HybridPrivateKey> {
  const hint = 'name the private file of the recovery key by --key';
  const file = parseFile(await readTextFile(path, `recovery key ${path}`, hint), path);
  const rsaPrivate = decrypt(file.rsaPrivateKey, passphrase, path);
  const kemPrivate = decrypt(file.mlKemPrivateKey, passphrase, path);
  try {
    const key = hybridOf(rsaPrivate, kemPrivate);
    if (file.sha256 !== key.fingerprint) throw new Error('it is damaged');
    return { ...key, rsaPrivate, kemPrivate };
  } catch (cause) {
    throw notOne(path, reasonOf(cause), cause);
  }
}

function parseFile(text: string, path: string) {
  try {
    if (text.trimStart().startsWith('-----BEGIN')) throw new Error('it is one PEM key');
    const file = JSON.parse(text) as Record<string, unknown>;
    const { format, rsaPrivateKey, mlKemPrivateKey, sha256, ...rest } = file;
    if (rest['kind'] !== kind) throw new Error(`its kind is not ${kind}`);
    if (format !== 2) throw new Error('it is not of format 2');
    if (Object.keys(rest).length > 1) throw new Error('it has fields that are unknown');
    if (typeof rsaPrivateKey !== 'string' || typeof mlKemPrivateKey !== 'string') {
      throw new Error('it does not hold an RSA and an ML-KEM private key');
    }
    return { rsaPrivateKey, mlKemPrivateKey, sha256 };
  } catch (cause) {
    throw notOne(path, reasonOf(cause), cause);
  }
}

/** Without the cause: OpenSSL's errors tell nothing, and nothing of it shall be printed. */
function decrypt(pem: string, passphrase: Buffer, path: string): KeyObject {
  try {
    return createPrivateKey({ key: pem, passphrase });
  } catch {
    throw new KleidiError(
      'refused',
      `${path} cannot be opened: the passphrase is wrong, or the file is damaged`,
      { hint: 'try again; if it never opens, take another copy of the file' },
    );
  }
}

function notOne(path: string, why: string, cause: unknown): KleidiError {
  return new KleidiError('refused', `${path} is not the private file of a recovery key: ${why}`, {
    hint: 'name the file of mode 0600 that kleidi recovery create wrote',
    cause,
  });
}
