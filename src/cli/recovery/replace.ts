// kleidi recovery replace: another recovery key for the KEKs of a ring, on the offline
// machine, with the old one. What comes out goes to every member: kleidi join --recovery.

import { needed, readOldBundles, requireFree } from '../../admin/keys/oldbundles.ts';
import { expectedRing } from '../../admin/ring/exported.ts';
import { usage } from '../../errors.ts';
import { writeNewFile } from '../../files.ts';
import { formatBundle } from '../../keyring/bundle.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { replaceRecovery } from '../../keyring/recovery.ts';
import { pinnedRecovery, readRecoveryKey } from '../../keyring/recoverypublickey.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { note, print, printJson } from '../../terminal.ts';
import { confirmKeys, recoveryClaims } from '../prompt/confirm.ts';
import { openRecovery } from '../prompt/recoverykey.ts';
import { parse, type Verb } from '../verb.ts';

export const recoveryReplace: Verb = {
  help: `usage: kleidi recovery replace BUNDLE... --key FILE --recovery PUB[=SHA256]
                               --ring FILE --expect DIGEST --out FILE
                               [--passphrase-fd N] [--json]

Opens every KEK of the ring with the old recovery key, and wraps it for the new one. The
bundle and PUB go to every member: kleidi join --recovery PUB=SHA256 there, with the
digest that this prints. Old bundles and backups open with the old key for ever: after
a theft, new KEKs instead. KEKs that are retired keep the old key.

  --key FILE          the private file of the old recovery key
  --recovery PUB      the public file of the new one; without =SHA256 its fingerprint
                      is asked about, and refused where there is no terminal
  --ring FILE         from kleidi ring export: every KEK of it that is not retired must
                      be in a bundle
  --expect DIGEST     what kleidi ring digest prints on a member
  --out FILE          the new bundle
  --passphrase-fd N   read the passphrase of the old key from file descriptor N

example: kleidi recovery replace bundles/*.json --key old.key --recovery new.pub=SHA256 --ring ring.json --expect sha256:0a1b… --out new.bundle`,
  run: replace,
};

async function replace(args: readonly string[]): Promise<number> {
  const options = parse(
    args,
    {
      key: 'text',
      recovery: 'text',
      ring: 'text',
      expect: 'text',
      out: 'text',
      'passphrase-fd': 'text',
    },
    { least: 1, most: 1e6 },
  );
  const [file, out, pub] = [options.text('key'), options.text('out'), options.text('recovery')];
  const ring = await expectedRing(options.text('ring'), options.text('expect'));
  if (file === undefined || out === undefined || pub === undefined || ring === undefined) {
    throw usage('--key, --recovery, --ring, --expect and --out are needed');
  }
  requireFree(out);
  const recovery = await readRecoveryKey(pub);
  const all = await readOldBundles(options.positionals);
  const old = needed(all, ring);
  await confirmKeys(recoveryClaims(recovery, pinnedRecovery(ring)));
  const key = await openRecovery(file, options.text('passphrase-fd'));
  const retired = all.keks.filter((kek) => !old.keks.includes(kek));
  const keks = replaceRecovery(old, retired, key, recovery);
  const next = repinned(ring, recovery.fingerprint);
  await writeNewFile(out, formatBundle(old, keks, next), 0o600);
  report(next, { out, pub, count: keks.length, sha256: recovery.fingerprint }, options.json);
  return 0;
}

function repinned(ring: Ring, recovery: string): Ring {
  const keks = ring.keks.map((kek) =>
    kek.provider === 'pkcs11' && isUnretired(kek) ? { ...kek, recovery } : kek,
  );
  return { ...ring, keks };
}

interface Replaced {
  readonly out: string;
  readonly pub: string;
  readonly count: number;
  readonly sha256: string;
}

function report(ring: Ring, { out, pub, count, sha256 }: Replaced, json: boolean): void {
  const digest = ringDigest(ring);
  if (json) printJson({ bundle: out, keks: count, recovery: sha256, digest });
  else {
    const file = pub.replace(/=[^=]*$/, '');
    print(`${out}: ${count} KEKs for recovery key sha256:${sha256}`);
    print(`on each member: kleidi join ${out} --expect ${digest} --recovery ${file}=${sha256}`);
  }
  note('then test it: kleidi recovery test, with the new key and the bundles/ of a member');
}
