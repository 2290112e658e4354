// Proves that the token of this host opens what a snapshot holds: each distinct
// sealed seed once, and with it one object. Work in a child; nothing of what is
// inside comes back.
import type { Config } from '../../config.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { tokenKinds } from '../../providers/algorithm.ts';
import type { TokenKind } from '../../providers/provider.ts';
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
  const parts: OfToken[] = [];
  for (const kind of tokenKinds) parts.push(await verifyIn(config, kind, ring, snapshot));
  const sum = (count: (part: OfToken) => number): number =>
    parts.reduce((total, part) => total + count(part), 0);
  const failures = parts.flatMap((part) => part.failures);
  const seeds = sum((part) => part.seeds);
  const elsewhere = distinct(snapshot, ring).length - seeds - failures.length;
  return { seeds, objects: sum(({ objects }) => objects), failures, elsewhere };
}

type OfToken = Omit<Verification, 'elsewhere'>;

async function verifyIn(
  config: Config,
  kind: TokenKind,
  ring: Ring,
  snapshot: Snapshot,
): Promise<OfToken> {
  const keks = ring.keks.filter((kek) => kek.provider === kind);
  const cases = distinct(snapshot, { ...ring, keks });
  if (cases.length === 0) return { seeds: 0, objects: 0, failures: [] };
  const token = new TokenCommand(config, { kind });
  const answers = await token.openSeeds(keks.filter(isUnretired), cases.map(sealedSeed));
  const failures = cases.flatMap(({ count, seal }, i) => {
    const why = answers[i]?.why;
    return why === undefined ? [] : [{ example: count.example, keyId: seal.keyId, why }];
  });
  const objects = answers.filter(({ hasOpenedObject }) => hasOpenedObject).length;
  return { seeds: cases.length - failures.length, objects, failures };
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
