// kleidi key import: KEKs out of a bundle into the token, then into the ring as
// staged; then the transport key dies. Run again it goes on, or changes nothing.

import { awaitDaemon, stateIfAny } from '../../admin/follow.ts';
import { requireExpected, takeInStaged } from '../../admin/keys/bundleimport.ts';
import { parseFingerprint } from '../../admin/keys/held.ts';
import { findVersion, parseVersion, stageVersion } from '../../admin/keys/vaultimport.ts';
import { loadConfig } from '../../config.ts';
import { usage } from '../../errors.ts';
import { type Bundle, recoveryPart } from '../../keyring/bundle.ts';
import { readBundle } from '../../keyring/bundlefile.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { readRing, withRingLock } from '../../keyring/ringfile.ts';
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
  changes: true,
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
  run: (options) =>
    (options.text('vault-version') === undefined ? importBundle : importVersion)(options),
});

type Options = Parsed<typeof optionTable>;

async function importBundle(options: Options): Promise<number> {
  const expected = readExpected(options.texts('expect'));
  const config = loadConfig(options.configPath);
  const bundle = await readBundle(options.positionals[0] ?? '');
  requireExpected(bundle, expected);
  const before = await stateIfAny(config);
  const imported = await withRingLock(config.ring, () => takeInStaged(config, bundle));
  const ring = await readRing(config.ring);
  report(ring, bundle, imported, options.json);
  const fps = bundle.keks.map(({ fp }) => fp);
  await awaitDaemon(config, ring, before, readable(ring, fps));
  return 0;
}

async function importVersion(options: Options): Promise<number> {
  const version = parseVersion(options.text('vault-version') ?? '');
  const config = loadConfig(options.configPath);
  const found = await findVersion(config, version, options.texts('expect')[0]);
  const before = await stateIfAny(config);
  const ring = await withRingLock(config.ring, () => stageVersion(config, found));
  const { fp } = found.kek;
  const state = ring.keks.find((kek) => kek.fp === fp)?.state ?? 'staged';
  if (options.json) printJson({ keks: [{ fp, state, version }] });
  else print(`KEK ${fp}, version ${version} of the Transit key, is ${state}`);
  await awaitDaemon(config, ring, before, readable(ring, [fp]));
  return 0;
}

function readExpected(texts: readonly string[]): ReadonlySet<string> {
  const fps = texts.flatMap((text) => text.split(/[\s,]+/)).filter((fp) => fp !== '');
  if (fps.length > 0) return new Set(fps.map(parseFingerprint));
  throw usage('--expect is missing: the host that made the KEK shows its fingerprint');
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
  if (bundle.keks.some((kek) => recoveryPart(kek) === undefined)) {
    warn('a KEK of this bundle has no recovery: if all tokens are lost, so is what it seals');
  }
}
