// The recovery bundles of a ring, as commands on the offline machine are given them:
// of one ring, each KEK once, and with a ring all that it needs.
import { KleidiError, usage } from '../../errors.ts';
import { isBackup, parseBackup } from '../../keyring/backup.ts';
import type { Bundle, KeksOfRing } from '../../keyring/bundle.ts';
import { parseBundle } from '../../keyring/bundlefile.ts';
import { coverageFaults, rootFaults } from '../../keyring/coverage.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { isSameRing, shown } from '../../keyring/ringid.ts';
import { readTextFile } from '../../readfile.ts';

/** @throws KleidiError file-failed, refused */
export async function readOldBundles(paths: readonly string[]): Promise<KeksOfRing> {
  return merge((await Promise.all(paths.map(bundlesIn))).flat());
}

/** A backup holds those that its host had. */
export async function bundlesIn(path: string): Promise<readonly Bundle[]> {
  const hint = 'name a file that was made by kleidi key create --out, or a backup';
  const text = await readTextFile(path, `bundle ${path}`, hint);
  if (!isBackup(text)) return [parseBundle(text, path)];
  return parseBackup(text, path).bundles.map((file) =>
    parseBundle(file.text, `${file.name} in ${path}`),
  );
}

/**
 * What a host needs to join this ring: no KEK less, and none that is retired.
 * @throws KleidiError refused
 */
export function needed(all: KeksOfRing, ring: Ring | undefined): KeksOfRing {
  if (ring === undefined) return all;
  const keks = all.keks.filter(({ fp }) =>
    ring.keks.some((kek) => kek.fp === fp && isUnretired(kek)),
  );
  const [fault] = [...coverageFaults(ring, [{ ...all, keks }]), ...rootFaults(ring, all.keks)];
  if (fault === undefined) return { ...all, keks };
  throw new KleidiError('refused', `KEK ${fault.fp}: ${fault.fault}`, {
    hint: 'take the files of bundles/ beside the ring of a member that has them all, or of its backup: kleidi recovery test --ring shows what is missing',
  });
}

function merge(bundles: readonly Bundle[]): KeksOfRing {
  const [first, ...others] = bundles;
  if (first === undefined) throw usage('which bundles?');
  const stranger = others.find((bundle) => !isSameRing(bundle, first));
  if (stranger !== undefined) {
    const rings = `${shown(first)} and ${shown(stranger)}`;
    throw new KleidiError('refused', `the bundles are of two rings, ${rings}`, {
      hint: 'rewrap the KEKs of one ring at a time',
    });
  }
  const byFp = new Map(bundles.flatMap(({ keks }) => keks).map((kek) => [kek.fp, kek]));
  return { ring: first.ring, ringId: first.ringId, keks: [...byFp.values()] };
}
