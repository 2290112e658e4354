// kleidi restore --check: is this backup whole, does it bring back every KEK of its ring with
// the recovery key, and what would restore do here. Writes nothing.
import type { Backup } from '../keyring/backup.ts';
import { boardFaults, coverageFaults, rootFaults } from '../keyring/coverage.ts';
import { print, printJson } from '../terminal.ts';
import { bundleIn, type PlannedFile, type RingPlan, stateOf } from './restoreplan.ts';

/** @returns exit code: 1 where a KEK of the ring does not come back with this backup */
export async function checkRestore(
  backup: Backup,
  plan: RingPlan | undefined,
  files: readonly PlannedFile[],
  json: boolean,
): Promise<number> {
  const { ring } = backup;
  const bundles = backup.bundles.map(bundleIn);
  const keks = bundles.flatMap((bundle) => bundle.keks);
  const faults = [
    ...coverageFaults(ring, bundles),
    ...rootFaults(ring, keks),
    ...boardFaults(ring),
  ];
  const states = await Promise.all(files.map(stateOf));
  const inState = (state: string) => files.filter((_, i) => states[i] === state);
  const found = {
    ...{ ring: ring.ring, generation: ring.generation, created: backup.created, faults },
    putsRing: plan === undefined ? null : plan.next !== plan.local,
    missing: inState('missing').map(({ path }) => path),
    differing: inState('other').map(({ path }) => path),
  };
  if (json) printJson(found);
  else show(found);
  return faults.length === 0 ? 0 : 1;
}

interface Found {
  readonly ring: string;
  readonly generation: number;
  readonly created: string;
  readonly faults: readonly { readonly fp: string; readonly fault: string }[];
  readonly putsRing: boolean | null;
  readonly missing: readonly string[];
  readonly differing: readonly string[];
}

function show({ ring, generation, created, faults, putsRing, missing, differing }: Found): void {
  print(`whole, from ${created}: ring '${ring}', generation ${generation}`);
  for (const { fp, fault } of faults) print(`KEK ${fp}: NOT covered: ${fault}`);
  if (putsRing === true) print('would put the ring in place');
  if (putsRing === false) print('would leave the ring of this host as it is');
  for (const path of missing) print(`would write ${path}`);
  for (const path of differing) print(`would leave ${path}, which differs, as it is`);
}
