// kleidi provision --replace lost-token: a host whose token is lost gets another one and comes
// back to its ring. What was there before is moved, never deleted; without proof it is refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createFor,
  good,
  joinTo,
  promoteOn,
  recoveryBundles,
  requestOf,
  requireRefusal,
  rewrapInto,
} from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import {
  comeBack,
  contentsOf,
  damage,
  exportOf,
  lostToken,
  members,
  offlineFile,
  recovery,
  replacedIn,
  snapshotOf,
} from '../support/losttoken.ts';

const losses: readonly (readonly [string, (host: TestHost) => void])[] = [
  ['its folder is gone', (host) => rmSync(host.tokens, { recursive: true })],
  ['it is damaged', damage],
  ['its PIN is gone', (host) => rmSync(host.pinPath)],
  ['its PIN is another one', (host) => replacePin(host)],
  ['token, ring and PINs are gone', (host) => loseAll(host)],
];

function replacePin(host: TestHost): void {
  rmSync(host.pinPath);
  writeFileSync(host.pinPath, randomBytes(18).toString('base64url'), { mode: 0o400 });
}

function loseAll(host: TestHost): void {
  rmSync(join(host.folder, 'state'), { recursive: true });
  for (const pin of ['pin', 'so-pin']) rmSync(join(host.folder, pin));
}

const lostPair = await members();
const restoreSecond = snapshotOf(lostPair.second);

for (const [index, [what, lose]] of losses.entries()) {
  test(`lost token: ${what}: refused without another member, and with it the host comes back`, async () => {
    restoreSecond();
    const { first, second, fp } = lostPair;
    const [good1, ring] = [await exportOf(first), second.ring];
    lose(second);
    await requireSame(second, /another member has the KEKs/, ...lostToken(good1).slice(0, 3));
    const done = await good(second, ...lostToken(good1));
    assert.match(done, /ring 'prod', generation 0/);
    assert.deepEqual([second.ring.ring, second.ring.keks], ['prod', []]);
    assert.match(await good(second, ...lostToken(good1)), /nothing changed/);
    // From here on all are alike: the first and the last go the whole way.
    if (index > 0 && index < losses.length - 1) return;
    await comeBack(second, first);
    assert.deepEqual([second.ring.generation, second.ring.keks[0]?.fp], [ring.generation, fp]);
    assert.equal((await exportOf(second)).digest, good1.digest);
    const daemon = await second.serve();
    assert.equal((await new KmsClient(second.socket).status()).keyId, `k1.prod.2.${fp}`);
    await daemon.stop();
  });
}

/** As requireRefusal, where the token does not open. */
async function requireSame(host: TestHost, reason: RegExp, ...args: string[]): Promise<void> {
  const before = contentsOf(host.folder);
  const { exitCode, stderr, stdout } = await host.run(...args);
  assert.equal(exitCode, 1, stdout + stderr);
  assert.match(stderr, reason);
  assert.match(stderr, /kleidi: hint: .+/);
  assert.deepEqual(contentsOf(host.folder), before);
}

test('lost token: what was there is in one folder for root alone, with a note of what was proved', async () => {
  const { first, second } = await members();
  const old = { pin: second.pin, ring: readFileSync(second.ringPath, 'utf8') };
  const changes = readFileSync(join(second.folder, 'state/changes.json'), 'utf8');
  damage(second);
  await good(second, ...lostToken(await exportOf(first)));
  const folder = replacedIn(second);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  assert.equal(readFileSync(join(folder, 'pin'), 'utf8'), old.pin);
  assert.equal(readFileSync(join(folder, 'ring.json'), 'utf8'), old.ring);
  assert.match(readFileSync(join(folder, 'provision.json'), 'utf8'), /"done": true/);
  assert.match(readFileSync(join(folder, 'NOTE'), 'utf8'), /lost-token[\s\S]*cannot be used/);
  assert.equal(readdirSync(join(folder, 'tokens')).length, 1);
  for (const name of ['so-pin', 'bundles']) statSync(join(folder, name));
  assert.notEqual(second.pin, old.pin);
  assert.equal(readFileSync(join(second.folder, 'state/changes.json'), 'utf8'), changes);
});

test('lost token: what it announced binds what comes after, and no other first KEK is made', async () => {
  const { first, second, fp } = await members();
  const early = await exportOf(first);
  const next = await createFor(first, [await requestOf(second)], recovery);
  await joinTo(second, next);
  await promoteOn(second, next.fp, 3);
  damage(second);
  await requireSame(second, /is not in it|generation 2, this host has 3/, ...lostToken(early));
  await requireSame(second, /generation 2, this host has 3/, ...lostToken(await exportOf(first)));
  await promoteOn(first, next.fp, 3);
  await good(second, ...lostToken(await exportOf(first)));
  for (const args of [
    ['key', 'create'],
    ['provision', '--ring', 'prod'],
  ]) {
    const { exitCode, stderr } = await second.run(...args);
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /has written in ring 'prod', generation 3/);
  }
  assert.deepEqual(second.ring.keks, []);
  await promoteOn(first, fp, 4);
  await comeBack(second, first);
  assert.deepEqual([second.ring.generation, second.ring.keks.length], [4, 2]);
});

test('lost token: a token that opens is not lost; another ring, another digest and another case prove nothing', async () => {
  const [{ first, second }, other] = [await members(), await TestHost.provisioned()];
  const [mine, theirs] = [await exportOf(first), await exportOf(other)];
  await requireRefusal(second, /opens and holds 1 KEKs/, ...lostToken(mine));
  damage(second);
  await requireSame(second, /the ring 'test'/, ...lostToken(theirs));
  await requireSame(
    second,
    /not the expected ring/,
    ...lostToken({ ...mine, digest: theirs.digest }),
  );
  await requireSame(second, /made on this machine/, 'provision', '--replace', 'copied-disk');
  const [fp = ''] = second.ring.keks.map((kek) => kek.fp);
  const forget = ['provision', '--replace', 'never-sealed', '--forget', fp];
  await requireSame(second, /the ring is at generation 2/, ...forget);
  assert.equal((await second.run(...lostToken(mine), '--copied')).exitCode, 2);
});

test('lost token, and no member is left: a backup with its bundles and digest, then restore as in the drill', async () => {
  const { first, second, fp } = await members();
  const backup = offlineFile('backup');
  const digest = (await good(first, 'backup', '--out', backup)).split('\n')[1] ?? '';
  rmSync(join(second.folder, 'state/bundles'), { recursive: true });
  const bare = offlineFile('backup');
  const bareDigest = (await good(second, 'backup', '--out', bare)).split('\n')[1] ?? '';
  damage(first);
  await requireSame(
    first,
    /has no bundle of KEK/,
    ...lostToken({ file: bare, digest: bareDigest }),
  );
  await good(first, ...lostToken({ file: backup, digest }));
  const restore = ['restore', backup, '--expect', digest, '--all-lost', '--generation'];
  await requireSame(first, /2/, ...restore, '2');
  await good(first, ...restore, '3');
  await rewrapInto(first, recoveryBundles(first), recovery);
  const daemon = await first.serve();
  assert.equal((await new KmsClient(first.socket).status()).keyId, `k1.prod.3.${fp}`);
  await daemon.stop();
});

test('lost token: a daemon that serves from memory serves on, until the KEKs are back', async () => {
  const { first, second, fp } = await members();
  const daemon = await second.superviseServe();
  const client = new KmsClient(second.socket);
  const seed = randomBytes(32);
  const { ciphertext, keyId } = await client.encrypt(seed);
  rmSync(join(second.tokens, readdirSync(second.tokens)[0] ?? ''), { recursive: true });
  const { exitCode, stderr } = await second.run(...lostToken(await exportOf(first)));
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /serves from memory/);
  assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  await comeBack(second, first);
  assert.equal((await client.status()).keyId, `k1.prod.2.${fp}`);
  await daemon.stop();
  const again = await second.serve();
  assert.deepEqual(await new KmsClient(second.socket).decrypt(ciphertext, keyId), seed);
  await again.stop();
});
