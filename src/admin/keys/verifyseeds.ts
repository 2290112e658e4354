// Proves that the token of this host opens what a snapshot holds: each distinct
// sealed seed once, and with it one object. Work in a child; nothing of what is
// inside comes back.
import type { Config } from '../../config.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { canOpen } from '../../snapshot/judgement.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { KmsSeal } from '../../snapshot/storedobject.ts';
import { type SealCount, sealIdentity } from '../../snapshot/tally.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import type { SealedSeed } from '../../tokenchild/protocol.ts';

export interface Verification {
  /** Sealed seeds that the token has opened. */
  readonly seeds: number;
  /** Of these, with an object that the seed has opened; large objects are not tried. */
  readonly objects: number;
  readonly failures: readonly { example: string; keyId: string; why: string }[];
  /** Sealed seeds under KEKs that no token holds: not tried. */
  readonly elsewhere: number;
}

interface Case {
  readonly count: SealCount;
  readonly seal: KmsSeal;
}

export async function verifySeeds(
  config: Config,
  ring: Ring,
  snapshot: Snapshot,
): Promise<Verification> {
  const inToken = ring.keks.filter((kek) => kek.provider === 'pkcs11');
  const all = distinct(snapshot, ring);
  const cases = distinct(snapshot, { ...ring, keks: inToken });
  const keks = inToken.filter(isUnretired);
  const answers = await new TokenCommand(config).openSeeds(keks, cases.map(sealedSeed));
  const failures = cases.flatMap(({ count, seal }, i) => {
    const why = answers[i]?.why;
    return why === undefined ? [] : [{ example: count.example, keyId: seal.keyId, why }];
  });
  const objects = answers.filter(({ hasOpenedObject }) => hasOpenedObject).length;
  const elsewhere = all.length - cases.length;
  return { seeds: cases.length - failures.length, objects, failures, elsewhere };
}

/** What the ring cannot open by name is told by the scan already. */
function distinct({ counts }: Snapshot, ring: Ring): Case[] {
  const cases = new Map<string, Case>();
  for (const count of counts) {
    const { seal } = count;
    if (seal.kind !== 'kms-v2' || !canOpen(seal, ring)) continue;
    const known = cases.get(sealIdentity(seal));
    if (known?.count.sample === undefined) cases.set(sealIdentity(seal), { count, seal });
  }
  return [...cases.values()];
}

function sealedSeed({ count, seal }: Case): SealedSeed {
  const { keyId, sourceType } = seal;
  const object = count.sample;
  return {
    source: seal.source.toString('base64'),
    keyId,
    sourceType,
    object: object && { key: object.key, data: object.data.toString('base64') },
  };
}
