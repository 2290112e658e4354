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
}
