// A loaded and initialised PKCS#11 module: the owner of pkcs11js. A module keeps
// its state per process: each thread loads it for itself, the first initialises it,
// and slots, sessions, keys and the login are the same in all of them.
import { existsSync } from 'node:fs';
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../errors.ts';
import { isSoftHsm } from '../../softhsm.ts';
import { isTpmModule } from '../../tpmmodule.ts';
import { ckr, ckrOf, ckrText } from './ckr.ts';

export type Handle = Buffer;

/** `CK_UNAVAILABLE_INFORMATION`-free view of what the module says it is. */
export class Pkcs11Module {
  readonly api: pkcs11js.PKCS11;
  readonly path: string;
  readonly description: string;
  /** SoftHSM allows tricks that a hardware module may not. */
  readonly isSoftHsm: boolean;
  /** The TPM's own, tpm2-pkcs11. */
  readonly isTpm: boolean;

  private constructor(api: pkcs11js.PKCS11, path: string) {
    const info = api.C_GetInfo();
    const { major, minor } = info.libraryVersion;
    this.api = api;
    this.path = path;
    const names = `${info.manufacturerID} ${info.libraryDescription}`;
    this.isSoftHsm = isSoftHsm(names);
    this.isTpm = isTpmModule(names);
    this.description = `${info.manufacturerID.trim() || 'PKCS#11 module'} ${major}.${minor}`;
  }

  /**
   * Loads and initialises the module.
   * @param softhsmConf where SoftHSM shall read its settings; other modules ignore it
   * @throws KleidiError module-missing, module-failed
   */
  static open(path: string, softhsmConf: string): Pkcs11Module {
    if (!existsSync(path)) throw missing(path);
    if (softhsmConf !== '') process.env['SOFTHSM2_CONF'] = softhsmConf;
    const api = new pkcs11js.PKCS11();
    try {
      api.load(path);
    } catch (cause) {
      throw unloadable(path, cause);
    }
    try {
      initialize(api);
      return new Pkcs11Module(api, path);
    } catch (cause) {
      api.close();
      throw uninitialisable(path, softhsmConf, cause);
    }
  }

  /** Only with no call in flight: C_Finalize under a running call is undefined. */
  close(): void {
    try {
      this.api.C_Finalize();
    } catch {
      // A module that cannot be finalised is unloaded all the same.
    }
    this.api.close();
  }

  /** Other threads go on with the module, which stays loaded for them. */
  leave(): void {
    this.api.close();
  }
}

/** Without CKF_OS_LOCKING_OK, SoftHSM switches its locks off and crashes under threads. */
function initialize(api: pkcs11js.PKCS11): void {
  try {
    api.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK });
  } catch (error) {
    if (ckrOf(error) !== ckr.CRYPTOKI_ALREADY_INITIALIZED) throw error;
  }
}

function missing(path: string): KleidiError {
  return new KleidiError('module-missing', `PKCS#11 module ${path} does not exist`, {
    hint: isTpmModule(path)
      ? 'install the module (Debian: apt install libtpm2-pkcs11-1) or set tpm.module'
      : 'install the module (Debian: apt install softhsm2) or set pkcs11.module',
  });
}

function unloadable(path: string, cause: unknown): KleidiError {
  return new KleidiError(
    'module-missing',
    `PKCS#11 module ${path} cannot be loaded: ${ckrText(cause)}`,
    { hint: 'check that the file is a PKCS#11 module for this machine type', cause },
  );
}

function uninitialisable(path: string, softhsmConf: string, cause: unknown): KleidiError {
  return new KleidiError(
    'module-failed',
    `PKCS#11 module ${path} cannot be initialised: ${ckrText(cause)}`,
    {
      hint: isTpmModule(path)
        ? 'it answers so where the TPM cannot be reached: check tpm.tcti; the daemon also needs the drop-in tpm.conf'
        : `SoftHSM answers so where ${softhsmConf} or its token folder cannot be read: check that both exist and who owns them`,
      cause,
    },
  );
}
