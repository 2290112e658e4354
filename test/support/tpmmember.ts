// A host with a simulated TPM: provisioned, so that it has a KEK in SoftHSM, and with a store for
// the TPM's token.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { RingKek } from '../../src/keyring/ring.ts';
import { TestHost } from './host.ts';
import { tcti, tpmVariables } from './simulatedtpm.ts';

export const consent = ['--single-master', '--accept-no-recovery'];

export class TpmHost extends TestHost {
  readonly store = join(this.folder, 'state/tpm');
  readonly tpmPinPath = join(this.folder, 'tpm-pin');

  static async make(): Promise<TpmHost> {
    const host = new TpmHost();
    const tpm = { store: host.store, tcti, pin: `file:${host.tpmPinPath}` };
    host.configure({ tpm, pkcs11: { environment: tpmVariables } });
    await host.good('provision', '--ring', 'test');
    return host;
  }

  /** @returns the output */
  async good(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(...args);
    assert.equal(exitCode, 0, stderr);
    return stdout;
  }

  /** A new one, staged. */
  async makeKek(): Promise<RingKek> {
    const known = this.ring.keks.length;
    await this.good('tpm', 'create', ...consent);
    return this.ring.keks[known] ?? assert.fail('no KEK was made');
  }
}
