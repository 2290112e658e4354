// Doctor's group tpm: whether the TPM of this machine opens what the ring names as kept there.
// Says nothing on a host that keeps nothing there.
import { isUnretired, type Ring } from '../keyring/ring.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import type { KekDescription } from '../providers/provider.ts';
import { tpmStoreExists } from '../tpmmodule.ts';
import { type Check, type Findings, fail, failure, ok, warn } from './check.ts';

export const tpm: Check = {
  group: 'tpm',
  needs: 'config',

  async run(subject) {
    const ring = await subject.ring().catch(() => undefined);
    const named = ring?.keks.filter((kek) => kek.provider === 'tpm') ?? [];
    if (named.length === 0 && !tpmStoreExists(subject.config().tpm.store)) return undefined;
    try {
      const held = await subject.tpmKeks();
      const what = `the TPM of this machine holds ${held.length} ${held.length === 1 ? 'KEK' : 'KEKs'}`;
      return [
        ok(`${what}; with this board, what they have sealed is lost`),
        ringFindings(ring, held),
      ];
    } catch (error) {
      return failure(error);
    }
  },
};

function ringFindings(ring: Ring | undefined, held: readonly KekDescription[]): Findings {
  const named = ring?.keks.filter((kek) => kek.provider === 'tpm') ?? [];
  const missing = missingKeks(named.filter(isUnretired), held);
  const foreign = missingKeks(held, named);
  return [
    missing.map(({ fp, state }) =>
      fail(
        `the TPM of this machine lacks KEK ${fp} (${state})`,
        'put tpm.store back from a backup of this very host; where that is another board, what this KEK has sealed is lost',
      ),
    ),
    foreign.map(({ fp }) =>
      warn(
        `KEK ${fp} is in the TPM but not in the ring: left by an interrupted command`,
        'kleidi tpm create takes it in; kleidi key destroy ends it',
      ),
    ),
  ];
}
