// kleidi recovery replace: another recovery key for the KEKs of a ring, on the offline
// machine, with the old one. What comes out goes to every member: kleidi join --recovery.

import { needed, readOldBundles } from '../../admin/keys/oldbundles.ts';
import { parseExpected, readMemberOrBackup } from '../../admin/ring/expecteddigest.ts';
import { requireFree, writeNewFile } from '../../files.ts';
import { formatBundle } from '../../keyring/bundle.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { replaceRecovery } from '../../keyring/recovery.ts';
import { pinnedRecovery, readRecoveryKey } from '../../keyring/recoverypublickey.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { note, print, printJson } from '../../terminal.ts';
import { jsonOption, requiredText, several, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { confirmKeys, recoveryClaims } from '../prompt/confirm.ts';
import { openRecovery } from '../prompt/passphrase.ts';
import { command } from '../verb.ts';

const optionTable = {
  key: requiredText('FILE', 'the private file of the old recovery key'),
  recovery: requiredText(
    'PUB[=SHA256]',
    `the public file of the new one; without =SHA256 its fingerprint is asked about, and
      refused where there is no terminal`,
  ),
  ring: requiredText(
    'FILE',
    `from kleidi ring export, or a backup: every KEK of it that is not retired must be in a bundle`,
  ),
  expect: requiredText('DIGEST', 'what kleidi ring digest prints on a member'),
  out: requiredText('FILE', 'the new bundle'),
  'passphrase-fd': text('N', 'read the passphrase of the old key from file descriptor N'),
  json: jsonOption,
};

export const recoveryReplace = command({
  changes: true,
  summary: 'wraps them for another recovery key',
  notes: [
    `Opens every KEK of the ring with the old recovery key, and wraps it for the new one. The
    bundle and PUB go to every member: kleidi join --recovery PUB=SHA256 there, with the digest
    that this prints. Old bundles and backups open with the old key for ever: after a theft, new
    KEKs instead. KEKs that are retired keep the old key.`,
  ],
  options: optionTable,
  positionals: several('BUNDLE'),
  example:
    'kleidi recovery replace bundles/*.json --key old.key --recovery new.pub=SHA256 --ring ring.json --expect sha256:0a1b… --out new.bundle',
  run: replace,
});

async function replace(options: Parsed<typeof optionTable>): Promise<number> {
  const [file, out, pub] = [options.given('key'), options.given('out'), options.given('recovery')];
  const { ring } = await readMemberOrBackup(
    options.given('ring'),
    parseExpected(options.given('expect')),
  );
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
