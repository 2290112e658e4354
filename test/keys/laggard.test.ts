// What honest operators can do wrong with members that lag behind: no retired or
// destroyed KEK comes back unasked, none that is needed is dropped, and each step leads
// to the same ring everywhere, or is not taken.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ringDigest } from '../../src/keyring/digest.ts';
import { formatRing } from '../../src/keyring/ring.ts';
import { createFor, good, importInto, requestOf, requireRefusal } from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { memberLike } from '../support/member.ts';

const seed = randomBytes(32);
const destroy = ['--no-scan', '--yes'];

async function createKek(host: TestHost): Promise<string> {
  return (JSON.parse(await good(host, 'key', 'create', '--json')) as { fp: string }).fp;
}

async function exported(from: TestHost): Promise<readonly string[]> {
  const file = join(from.folder, `ring-${randomBytes(4).toString('hex')}.json`);
  await good(from, 'ring', 'export', '--out', file);
  return [file, '--expect', (await good(from, 'ring', 'digest')).trim()];
}

/** Refused with this reason, and neither a file nor an object of the token is changed. */
/** Two members at generation 2; `first` is read, `second` is the write KEK. */
async function pair() {
  const a = await TestHost.provisioned();
  const first = a.ring.keks[0]?.fp ?? '';
  const second = await createKek(a);
  await good(a, 'key', 'promote', second);
  return { a, b: memberLike(a), first, second };
}

test('a retired KEK comes back from a laggard only where it is named', async () => {
  const { a, b, first, second } = await pair();
  await good(a, 'key', 'retire', first);
  // The laggard is ahead by its generation, and behind by its states.
  await good(b, 'key', 'promote', first);
  await good(b, 'key', 'promote', second);
  const ring = await exported(b);
  await requireRefusal(a, /KEK .* is retired here and read there/, 'ring', 'adopt', ...ring);
  await requireRefusal(a, /is retired here/, 'ring', 'adopt', ...ring, '--undo', second);
  await good(a, 'ring', 'adopt', ...ring, '--undo', first);
  assert.equal(await good(a, 'ring', 'digest'), await good(b, 'ring', 'digest'));
});

test('a destroyed KEK does not come back: not by a ring, not by a bundle', async () => {
  const { a, b, first, second } = await pair();
  const request = await requestOf(b);
  const third = await createFor(a, [request]);
  await importInto(b, third);
  await good(b, 'key', 'retire', third.fp);
  await good(b, 'key', 'retire', first);
  for (const fp of [third.fp, first]) await good(b, 'key', 'destroy', fp, ...destroy);
  await good(a, 'key', 'promote', first);
  await good(a, 'key', 'promote', second);
  const ring = await exported(a);
  await requireRefusal(b, /is destroyed here and (?:read|staged) there/, 'ring', 'adopt', ...ring);
  await requireRefusal(
    ...([b, /is destroyed in this ring/] as const),
    ...['key', 'import', third.bundle, '--expect', third.fp],
  );
});

test('a ring that lacks a KEK which is needed here is neither adopted nor loaded', async () => {
  const { a, first, second } = await pair();
  const daemon = await a.serve();
  const client = new KmsClient(a.socket);
  const sealed = await client.encrypt(seed);
  const { keks } = a.ring;
  const without = { ...a.ring, generation: 3, keks: keks.filter(({ fp }) => fp !== first) };
  const file = join(a.folder, 'without.json');
  writeFileSync(file, formatRing(without));
  const adopt = ['ring', 'adopt', file, '--expect', ringDigest(without)];
  await requireRefusal(a, new RegExp(`KEK ${first}, which is read here, is not in it`), ...adopt);
  // By hand, past every command.
  const kept = formatRing(a.ring);
  writeFileSync(a.ringPath, formatRing(without));
  await daemon.event('ring-refused');
  assert.equal((await client.status()).keyId, `k1.test.2.${second}`);
  assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), seed);
  writeFileSync(a.ringPath, kept);
  client.close();
  await daemon.stop();
});

test('ring digest --expect is a gate: 0 for the same ring, 1 for another, file or daemon', async () => {
  const { a, b, first } = await pair();
  await good(b, 'key', 'retire', first);
  const daemon = await a.serve();
  for (const which of [[], ['--openable'], ['--live'], ['--openable', '--live']]) {
    const digest = (await good(a, 'ring', 'digest', ...which)).trim();
    await good(a, 'ring', 'digest', ...which, '--expect', digest);
    const other = (
      await good(b, 'ring', 'digest', ...which.filter((each) => each !== '--live'))
    ).trim();
    await requireRefusal(a, /not the expected one/, 'ring', 'digest', ...which, '--expect', other);
  }
  assert.equal((await a.run('ring', 'digest', '--expect', 'sha256:12')).exitCode, 2);
  await daemon.stop();
});

test('promote, retire and destroy lead to the ring of the first member, or change nothing', async () => {
  const { a, b, first } = await pair();
  const third = await createKek(a);
  const c = memberLike(a);
  for (const step of [
    ['promote', third, '--generation', '3'],
    ['retire', first],
    ['destroy', first, ...destroy],
  ]) {
    const told = JSON.parse(await good(a, 'key', ...step, '--json')) as { digest: string };
    assert.equal(told.digest, (await good(a, 'ring', 'digest')).trim());
    const expect = ['--expect', told.digest];
    const other = ['--expect', `sha256:${'0'.repeat(64)}`];
    await requireRefusal(
      c,
      /that would lead to another ring than the expected one/,
      'key',
      ...step,
      ...other,
    );
    await good(c, 'key', ...step, ...expect);
    assert.equal(await good(c, 'ring', 'digest'), await good(a, 'ring', 'digest'));
    // This member was not there when the KEK was made: its ring is another one.
    if (step[0] === 'retire')
      await requireRefusal(b, /would lead to another ring/, 'key', ...step, ...expect);
  }
});
