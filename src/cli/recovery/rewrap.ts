// kleidi recovery rewrap: the KEKs of bundles for a host that was not there
// when they were made. On the offline machine, with node:crypto alone.

import { needed, readOldBundles } from '../../admin/keys/oldbundles.ts';
import { expectedRing } from '../../admin/ring/expecteddigest.ts';
import { KleidiError, usage } from '../../errors.ts';
import { requireFree, writeNewFile } from '../../files.ts';
import { type BundleKek, formatBundle } from '../../keyring/bundle.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { rewrapKek } from '../../keyring/recovery.ts';
import { type RequestFile, readRequest, requireRequests } from '../../keyring/request.ts';
import type { Ring } from '../../keyring/ring.ts';
import { print, printJson } from '../../terminal.ts';
import { parseGeneration } from '../key/promote.ts';
import {
  flag,
  jsonOption,
  required,
  requiredText,
  several,
  text,
  texts,
  together,
} from '../option.ts';
import type { Parsed } from '../parse.ts';
import { confirmKeys, requestClaims } from '../prompt/confirm.ts';
import { openRecovery } from '../prompt/passphrase.ts';
import { passphraseOption } from '../sharedoptions.ts';
import { command } from '../verb.ts';

const optionTable = {
  key: requiredText('FILE', 'the private file of the recovery key'),
  for: required(
    texts(
      'REQUEST[=SHA256]',
      `from kleidi key request on the new host. With =SHA256 a request with another fingerprint
      is refused; without it the fingerprint is asked about, and refused where there is no
      terminal.`,
    ),
  ),
  ring: text(
    'FILE',
    `from kleidi ring export, or a backup: every KEK of it that is not retired must be in a
      bundle; others are left out`,
  ),
  expect: text('DIGEST', 'what kleidi ring digest prints on a member'),
  'all-lost': flag(
    `no member has its ring any more: the hosts of the requests go on with that of --ring`,
  ),
  generation: text(
    'N',
    `with --all-lost: one more than the highest generation that was announced (kleidi snapshot
      scan prints it)`,
  ),
  out: requiredText('FILE', 'the new bundle'),
  'passphrase-fd': passphraseOption,
  json: jsonOption,
};

export const recoveryRewrap = command({
  changes: true,
  summary: 'wraps the KEKs of bundles for a new host',
  notes: [
    `Opens every KEK of the bundles with the recovery key and wraps it for the host of the
    request. The new bundle goes there. With --ring it carries that ring, and the KEKs that it
    needs: kleidi join. Without: kleidi key import. Bundles are in the folder bundles/ beside
    the ring of every host; a backup (kleidi backup) is taken for the bundles in it.`,
  ],
  options: optionTable,
  positionals: several('BUNDLE'),
  groups: [together('ring', 'expect'), together('all-lost', 'generation')],
  example:
    'kleidi recovery rewrap bundles/*.json --key recovery.key --for cp4.request=SHA256 --ring ring.json --expect sha256:0a1b… --out cp4.bundle',
  run: rewrap,
});

async function rewrap(options: Parsed<typeof optionTable>): Promise<number> {
  const [file, out] = [options.given('key'), options.given('out')];
  requireFree(out);
  const hosts = await Promise.all(options.texts('for').map(readRequest));
  const known = await expectedRing(options.text('ring'), options.text('expect'));
  const carried = begunAnew(known?.ring, parseGeneration(options.text('generation')));
  const all = await readOldBundles(options.positionals);
  const old = needed(all, carried);
  requireRequests(old.ring, hosts);
  await confirmKeys(requestClaims(hosts));
  const key = await openRecovery(file, options.text('passphrase-fd'));
  const rewrapped = old.keks.map((kek) => rewrapKek(old, kek, key, hosts, all.keks));
  await writeNewFile(out, formatBundle(old, rewrapped, carried ?? null), 0o600);
  report(rewrapped, hosts, { out, carried }, options.json);
  return 0;
}

/** No key id may be announced again: what the lost members wrote with last, the ring cannot say. */
function begunAnew(ring: Ring | undefined, generation: number | undefined): Ring | undefined {
  if (generation === undefined) return ring;
  if (ring === undefined) throw usage('--all-lost without --ring FILE --expect DIGEST');
  if (generation > ring.generation) return { ...ring, generation };
  throw new KleidiError('refused', `generation ${generation} is not above ${ring.generation}`, {
    hint: 'name one more than kleidi snapshot scan prints as highest',
  });
}

function report(
  keks: readonly BundleKek[],
  hosts: readonly RequestFile[],
  { out, carried }: { out: string; carried: Ring | undefined },
  json: boolean,
): void {
  const fps = keks.map(({ fp }) => fp);
  const digest = carried === undefined ? null : ringDigest(carried);
  if (json) printJson({ fps, hosts: hosts.map(({ host }) => host), bundle: out, digest });
  else {
    print(`${out}: ${fps.length} KEKs for ${hosts.map(({ host }) => host).join(', ')}`);
    const command = carried === undefined ? 'key import' : 'join';
    print(`there: kleidi ${command} ${out} --expect ${digest ?? fps.join(',')}`);
  }
}
