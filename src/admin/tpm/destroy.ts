// The end of a KEK in the TPM: its keys leave the store. What the TPM has sealed of them opens
// in an older copy of the store still, with that TPM and its PIN.
import type { Config } from '../../config.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { tpmStoreExists } from '../../tpmmodule.ts';
import { changeStore } from './store.ts';

export async function tpmHolds(config: Config, fp: Fingerprint): Promise<boolean> {
  if (!tpmStoreExists(config.tpm.store)) return false;
  const held = await new TokenCommand(config, { kind: 'tpm' }).list();
  return held.some((kek) => kek.fp === fp);
}

/** Call it under the ring's lock. Whether the KEK was in the store until now. */
export async function destroyTpmKek(config: Config, fp: Fingerprint): Promise<boolean> {
  if (!(await tpmHolds(config, fp))) return false;
  return changeStore(config, (store) =>
    new TokenCommand(config, { kind: 'tpm', store }).destroy(fp),
  );
}
