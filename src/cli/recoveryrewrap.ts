// kleidi recovery rewrap: the KEKs of bundles for a host that was not there
// when they were made. On the offline machine, with node:crypto alone.
import { existsSync } from 'node:fs';
import { KleidiError } from '../errors.ts';
import { writeNewFile } from '../files.ts';
import { type Bundle, type BundleKek, formatBundle, type KeksOfRing } from '../keyring/bundle.ts';
import { readBundle } from '../keyring/bundlefile.ts';
import { coverageFaults } from '../keyring/coverage.ts';
import { ringDigest } from '../keyring/digest.ts';
import { rewrapKek } from '../keyring/recovery.ts';
import { openRecoveryKey } from '../keyring/recoverykey.ts';
import { type RequestFile, readRequest } from '../keyring/request.ts';
import { isUnretired, type Ring } from '../keyring/ring.ts';
import { isSameRing, shown } from '../keyring/ringid.ts';
import { confirmKeys, requestClaims } from './confirm.ts';
import { expectedRing } from './exportedring.ts';
import { readPassphrase } from './passphrase.ts';
import { requireRequests } from './requests.ts';
import { print, printJson } from './terminal.ts';
import { parse, usage, type Verb } from './verb.ts';

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
  const bundles = await Promise.all(options.positionals.map(readBundle));
  const old = needed(merge(bundles), carried);
  requireRequests(old.ring, hosts);
  await confirmKeys(requestClaims(hosts));
  const passphrase = await readPassphrase(options.text('passphrase-fd'));
  const key = await openRecoveryKey(file, passphrase).finally(() => passphrase.fill(0));
  const rewrapped = old.keks.map((kek) => rewrapKek(old, kek, key, hosts));
  await writeNewFile(out, formatBundle(old, rewrapped, carried ?? null), 0o600);
  report(rewrapped, hosts, { out, carried }, options.json);
  return 0;
}

function requireFree(out: string): void {
  if (!existsSync(out)) return;
  throw new KleidiError('already-exists', `${out} exists already`, {
    hint: 'choose another name, or move the old file away',
  });
}

/** What a host needs to join this ring: no KEK less, and none that is retired. */
function needed(all: KeksOfRing, ring: Ring | undefined): KeksOfRing {
  if (ring === undefined) return all;
  const keks = all.keks.filter(({ fp }) =>
    ring.keks.some((kek) => kek.fp === fp && isUnretired(kek)),
  );
  const [fault] = coverageFaults(ring, [{ ...all, keks }]);
  if (fault === undefined) return { ...all, keks };
  throw new KleidiError('refused', `KEK ${fault.fp}: ${fault.fault}`, {
    hint: 'take the files of bundles/ beside the ring of a member that has them all, or of its backup: kleidi recovery test --ring tells what is missing',
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
