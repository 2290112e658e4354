// kleidi recovery test --ring: a KEK of the ring without a bundle, and a recovery part for
// another key than the pinned, are found before anybody needs them.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatBundle, recoveryPart } from '../../src/keyring/bundle.ts';
import { readBundle } from '../../src/keyring/bundlefile.ts';
import { formatRing, type Ring } from '../../src/keyring/ring.ts';
import {
  createFor,
  good,
  makeRecovery,
  promoteOn,
  recoveryBundles,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { kleidi } from '../support/kleidi.ts';
import { knownKek, named, newHybridKey, passphrase } from '../support/recoveryset.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const host = await tokenOnlyHost();
const first = await createFor(host, [], recovery);
await promoteOn(host, first.fp, 1);
const second = await createFor(host, [], recovery);
const ringFile = join(folder, 'ring.json');
await good(host, 'ring', 'export', '--out', ringFile);
const digest = (await good(host, 'ring', 'digest')).trim();
const bundles = recoveryBundles(host);
const bundleOf = (fp: string): string => bundles.find((path) => path.includes(fp)) ?? '';

async function run(files: readonly string[], ...more: string[]) {
  const args = ['recovery', 'test', ...files, '--key', recovery.key, '--passphrase-fd', '0'];
  return kleidi([...args, ...more], { input: passphrase });
}

const ofRing = ['--ring', ringFile, '--expect', digest];

test('every KEK of the ring has a bundle that opens', async () => {
  assert.equal(bundles.length, 2);
  const { exitCode, stdout, stderr } = await run(bundles, ...ofRing, '--json');
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual((JSON.parse(stdout) as { faults: unknown }).faults, []);
});

test('a missing bundle: exit 1 with the KEK named, where without the ring all looked well', async () => {
  const one = [bundleOf(first.fp)];
  assert.equal((await run(one)).exitCode, 0);
  const { exitCode, stdout } = await run(one, ...ofRing);
  assert.equal(exitCode, 1);
  assert.match(stdout, new RegExp(`KEK ${first.fp}: the recovery key opens it`));
  assert.match(stdout, new RegExp(`KEK ${second.fp}: NOT covered: .*staged, and no bundle`));
});

test('a part for another recovery key than the pinned is named, as are another ring and none', async () => {
  const stranger = newHybridKey();
  const genuine = await readBundle(bundleOf(first.fp));
  const kek = genuine.keks[0];
  const part = recoveryPart(knownKek(genuine, stranger, [], { fp: first.fp }));
  assert.ok(kek && part);
  const changed = join(folder, 'changed.json');
  const cases: readonly (readonly [string, RegExp])[] = [
    [
      formatBundle(genuine, [{ ...kek, recipients: [part] }]),
      new RegExp(
        `for recovery key sha256:${stranger.fingerprint}, the ring has recovery key sha256:${recovery.sha256}`,
      ),
    ],
    [formatBundle(genuine, [{ ...kek, recipients: [] }]), /its part is for no recovery key/],
    [formatBundle({ ...genuine, ring: 'other' }, [kek]), /its bundle is of ring 'other'/],
    [formatBundle(named('test'), [kek]), /its bundle is of ring 'test' \(id 5e5e5e5e\)/],
  ];
  for (const [text, fault] of cases) {
    writeFileSync(changed, text);
    const { exitCode, stdout } = await run([changed, bundleOf(second.fp)], ...ofRing);
    assert.equal(exitCode, 1);
    assert.match(stdout, new RegExp(`KEK ${first.fp}: NOT recoverable`));
    assert.match(stdout, new RegExp(`KEK ${first.fp}: NOT covered`));
    assert.match(stdout, fault);
  }
});

test('another ring than the expected is refused, and --expect and --ring come together', async () => {
  const other = join(folder, 'other.json');
  copyFileSync(ringFile, other);
  const ring = JSON.parse(readFileSync(other, 'utf8')) as Ring;
  writeFileSync(other, formatRing({ ...ring, keks: ring.keks.slice(0, 1) }));
  const swapped = await run([bundleOf(first.fp)], '--ring', other, '--expect', digest);
  assert.equal(swapped.exitCode, 1);
  assert.match(swapped.stderr, /is not the expected ring/);
  rmSync(other);
  assert.equal((await run(bundles, '--ring', other, '--expect', digest)).exitCode, 1);
  assert.equal((await run(bundles, '--ring', ringFile)).exitCode, 2);
  assert.equal((await run(bundles, '--expect', digest)).exitCode, 2);
});
