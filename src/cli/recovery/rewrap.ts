// kleidi recovery rewrap: the KEKs of bundles for a host that was not there
// when they were made. On the offline machine, with node:crypto alone.

import { needed, readOldBundles, requireFree } from '../../admin/keys/oldbundles.ts';
import { requireRequests } from '../../admin/keys/requests.ts';
import { expectedRing } from '../../admin/ring/exported.ts';
import { usage } from '../../errors.ts';
import { writeNewFile } from '../../files.ts';
import { type BundleKek, formatBundle } from '../../keyring/bundle.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { rewrapKek } from '../../keyring/recovery.ts';
import { type RequestFile, readRequest } from '../../keyring/request.ts';
import type { Ring } from '../../keyring/ring.ts';
import { print, printJson } from '../../terminal.ts';
import { confirmKeys, requestClaims } from '../prompt/confirm.ts';
import { openRecovery } from '../prompt/recoverykey.ts';
import { parse, type Verb } from '../verb.ts';

export const recoveryRewrap: Verb = {
  help: `usage: kleidi recovery rewrap BUNDLE... --key FILE --for REQUEST[=SHA256]...
                              [--ring FILE --expect DIGEST] --out FILE
                              [--passphrase-fd N] [--json]

Opens every KEK of the bundles with the recovery key and wraps it for the host
of the request. The new bundle goes there. With --ring it carries that ring, and the
KEKs that it needs: kleidi join. Without: kleidi key import. Bundles are in the folder
bundles/ beside the ring of every host.

  --key FILE          the private file of the recovery key
  --for REQUEST       from kleidi key request on the new host. With =SHA256 a
                      request with another fingerprint is refused; without it
                      the fingerprint is asked about, and refused where there is
                      no terminal.
  --ring FILE         from kleidi ring export: every KEK of it that is not retired must
                      be in a bundle; others are left out
  --expect DIGEST     what kleidi ring digest prints on a member
  --out FILE          the new bundle
  --passphrase-fd N   read the passphrase from file descriptor N

example: kleidi recovery rewrap bundles/*.json --key recovery.key --for cp4.request=SHA256 --ring ring.json --expect sha256:0a1b… --out cp4.bundle`,
  run: rewrap,
};

async function rewrap(args: readonly string[]): Promise<number> {
  const options = parse(
    args,
    {
      key: 'text',
      for: 'texts',
      ring: 'text',
      expect: 'text',
      out: 'text',
      'passphrase-fd': 'text',
    },
    { least: 1, most: 1e6 },
  );
  const [file, out] = [options.text('key'), options.text('out')];
  if (file === undefined || out === undefined) throw usage('--key and --out are needed');
  if (options.texts('for').length === 0) throw usage('--for is missing');
  requireFree(out);
  const hosts = await Promise.all(options.texts('for').map(readRequest));
  const carried = await expectedRing(options.text('ring'), options.text('expect'));
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
