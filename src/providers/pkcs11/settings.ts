// What a provider over a PKCS#11 token needs to know. Plain data: it goes to
// other threads and to child processes.

export interface Pkcs11Settings {
  readonly module: string;
  readonly token: string;
  readonly softhsmConf: string;
  readonly runtimeDir: string;
  readonly callTimeoutMs: number;
  /** For C_Initialize and C_Login together, and for a search for KEKs. */
  readonly openTimeoutMs: number;
  /** Where the module is tpm2-pkcs11: the folder of its store, and how it reaches the TPM. */
  readonly tpm?: TpmPlace;
}

interface TpmPlace {
  readonly store: string;
  /** As TPM2-TSS names it: device:/dev/tpmrm0. */
  readonly tcti: string;
}

/** Modules read these from the environment of the process. In its main thread alone. */
export function expose({ softhsmConf, tpm }: Pkcs11Settings): void {
  if (tpm === undefined) {
    process.env['SOFTHSM2_CONF'] = softhsmConf;
    return;
  }
  process.env['TPM2_PKCS11_BACKEND'] = 'esysdb';
  // The module says in one line what its library says in three.
  process.env['TSS2_LOG'] = 'all+none';
  process.env['TPM2_PKCS11_STORE'] = tpm.store;
  process.env['TPM2_PKCS11_TCTI'] = tpm.tcti;
}
