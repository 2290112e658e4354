// kleidi key import: KEKs out of a bundle into the token, then into the ring as
// staged; then the transport key dies. Run again it goes on, or changes nothing.

import { awaitDaemon, stateIfAny } from '../../admin/follow.ts';
import { ringEntry } from '../../admin/keys/create.ts';
import { parseFingerprint } from '../../admin/keys/held.ts';
import { takeIn } from '../../admin/keys/takein.ts';
import { importVaultVersion } from '../../admin/keys/vaultimport.ts';
import { loadConfig } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import type { Bundle } from '../../keyring/bundle.ts';
import { readBundle } from '../../keyring/bundlefile.ts';
import { requirePinned } from '../../keyring/recoverypublickey.ts';
import { isUnretired, type Ring, type RingKek } from '../../keyring/ring.ts';
import { readRing, withRingLock } from '../../keyring/ringfile.ts';
import { requireSameRing } from '../../keyring/ringid.ts';
import { requireNotDestroyed, stage } from '../../keyring/transitions.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { print, printJson, warn } from '../../terminal.ts';
import { jsonOption, oneOf, text, texts } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = {
  expect: texts(
    'FP[,FP]',
    `the fingerprint of each KEK in the bundle, from the host that made it (key create, ring
      show), by a way that cannot be tampered with; needed with a BUNDLE`,
  ),
  'vault-version': text(
    'N',
    `instead of a bundle: version N of the Transit key becomes a staged KEK; the same on
      every host`,
  ),
  json: jsonOption,
};

export const keyImport = command({
  summary: 'KEKs that another host or the recovery key has wrapped for this one',
  notes: [
    `Takes the KEKs of a bundle that was made for the open request of this host. Nothing is kept
    unless every KEK is what it should be. Then the request is closed: another import needs
    another request. With a running daemon it waits up to 10 s until that has the KEKs in use.
    The ring stays that of this host: kleidi join takes both, KEKs and ring, from one bundle.`,
  ],
  options: optionTable,
  positionals: { name: 'BUNDLE', least: 0, most: 1 },
  groups: [oneOf('BUNDLE', 'vault-version')],
  example: 'kleidi key import kek.bundle --expect 0123456789abcdef0123456789abcdef',
  run: importBundle,
});

async function importBundle(options: Parsed<typeof optionTable>): Promise<number> {
  const version = options.text('vault-version');
  const [file] = options.positionals;
  if (version !== undefined) {
    const [fp] = options.texts('expect');
    return importVaultVersion(options.configPath, version, fp, options.json);
  }
  const expected = readExpected(options.texts('expect'));
  const config = loadConfig(options.configPath);
  const bundle = await readBundle(file ?? '');
  requireExpected(bundle, expected);
  const before = await stateIfAny(config);
  const imported = await withRingLock(config.ring, async () => {
    const from = await readRing(config.ring);
    return takeIn(config, bundle, { from, to: withKeks(from, bundle) });
  });
  const ring = await readRing(config.ring);
  report(ring, bundle, imported, options.json);
  const fps = bundle.keks.map(({ fp }) => fp);
  await awaitDaemon(config, ring, before, readable(ring, fps));
  return 0;
}

function readExpected(texts: readonly string[]): ReadonlySet<string> {
  const fps = texts.flatMap((text) => text.split(/[\s,]+/)).filter((fp) => fp !== '');
  if (fps.length > 0) return new Set(fps.map(parseFingerprint));
  throw usage('--expect is missing: the host that made the KEK shows its fingerprint');
}

/** Else whoever can change the bundle could give this host a KEK of their own. */
function requireExpected({ keks }: Bundle, expected: ReadonlySet<string>): void {
  const strange = keks.find(({ fp }) => !expected.has(fp));
  const missing = [...expected].find((fp) => !keks.some((kek) => kek.fp === fp));
  if (strange === undefined && missing === undefined) return;
  throw new KleidiError(
    'refused',
    strange === undefined
      ? `the expected KEK ${missing} is not in the bundle; nothing was changed`
      : `the bundle holds KEK ${strange.fp}, which is not expected; nothing was changed`,
    { hint: 'compare with key create or ring show of the host that made the bundle' },
  );
}

function withKeks(ring: Ring, bundle: Bundle): Ring {
  requireSameRing('the bundle', bundle, ring);
  return bundle.keks.reduce((so, kek) => {
    requireNotDestroyed(so, kek.fp);
    const entry = ringEntry(kek);
    const known = so.keks.find(({ fp }) => fp === kek.fp);
    if (known === undefined) {
      requirePinned(so, entry.recovery);
      return stage(so, entry, bundle.ringId);
    }
    requireSameEntry(known, entry);
    return so;
  }, ring);
}

/** What is kept beside the ring must be what the ring names, however often it comes. */
function requireSameEntry(known: RingKek, { fp, check, recovery }: Omit<RingKek, 'state'>): void {
  if (known.check === check && known.recovery === recovery) return;
  const what = known.check === check ? 'wrapped for another recovery key' : 'another key';
  throw new KleidiError(
    'refused',
    `KEK ${fp} is in the ring of this host, and ${what} in the bundle; nothing was changed`,
    { hint: 'the bundle is not what the maker of that KEK has handed out: ask for it again' },
  );
}

/** The daemon loads no retired KEK. */
function readable(ring: Ring, fps: readonly Fingerprint[]): Fingerprint[] {
  const keks = ring.keks.filter((kek) => fps.includes(kek.fp) && isUnretired(kek));
  return keks.map(({ fp }) => fp);
}

function report(ring: Ring, bundle: Bundle, imported: readonly string[], json: boolean): void {
  const keks = bundle.keks.map(({ fp }) => {
    const entry = ring.keks.find((kek) => kek.fp === fp);
    return { fp, state: entry?.state ?? null, imported: imported.includes(fp) };
  });
  if (json) printJson({ keks });
  for (const { fp, state, imported: isNew } of json ? [] : keks) {
    print(isNew ? `KEK ${fp} is ${state}` : `KEK ${fp} was here already, as ${state}`);
  }
  if (bundle.keks.some((kek) => ringEntry(kek).recovery === null)) {
    warn('a KEK of this bundle has no recovery: if all tokens are lost, so is what it seals');
  }
}
