// kill -9 before every step of key create, key import and join that changes a file, of
// the command and of its token child at once: the next run finishes or undoes it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ringEntry } from '../../src/admin/keys/create.ts';
import { formatBundle } from '../../src/keyring/bundle.ts';
import { readBundle } from '../../src/keyring/bundlefile.ts';
import { ringDigest } from '../../src/keyring/digest.ts';
import { readRecoveryKey } from '../../src/keyring/recoverypublickey.ts';
import { readRequest } from '../../src/keyring/request.ts';
import { stage } from '../../src/keyring/transitions.ts';
import { makeRecovery, requestOf, tokenOnlyHost } from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import type { TestHost } from '../support/host.ts';
import { KillAtStep, type WalkOptions } from '../support/killatstep.ts';
import type { Result } from '../support/kleidi.ts';
import { knownKek, named } from '../support/recoveryset.ts';
import { tokenObjects } from '../support/tokenobjects.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const recoveryKey = await readRecoveryKey(recovery.pub);
const kill = new KillAtStep();
let runs = 0;

function killable(host: TestHost, env: NodeJS.ProcessEnv, args: string[]): Promise<Result> {
  return host.runWith({ env, ownGroup: true }, ...args);
}

/** Ring, token and bundles hold the same KEKs, and nothing else is left anywhere. */
async function requireClean(host: TestHost, step: number): Promise<void> {
  const at = `killed before step ${step}`;
  const inRing = host.ring.keks.map(({ fp }) => fp).sort();
  const objects = await tokenObjects(host);
  const keks = objects.filter(({ class: kind }) => kind === '0400000000000000');
  assert.deepEqual(keks.map(({ id }) => id).sort(), inRing, at);
  assert.equal(objects.length, inRing.length, at);
  const bundles = readdirSync(join(host.folder, 'state/bundles'));
  assert.deepEqual(
    bundles.filter((name) => name.endsWith('.json')).sort(),
    inRing.map((fp) => `${fp}.json`),
    at,
  );
  assert.ok(!existsSync(join(host.folder, 'state/key-create.json')), at);
}

/** The steps of the command alone, and those of both; all of both in the long run. */
const walks: readonly (readonly [string, WalkOptions])[] = [
  ['the command is killed', {}],
  [
    'command and token child are killed',
    { child: 'token-work', every: process.env['KLEIDI_TEST_LONG'] === '1' ? 1 : 17 },
  ],
];

for (const [who, options] of walks) {
  test(`key create: ${who}`, async (t) => {
    const [host, other] = await Promise.all([tokenOnlyHost(), tokenOnlyHost()]);
    const request = await requestOf(other);
    let out = '';
    const args = (): string[] => {
      const offline = `${recovery.pub}=${recovery.sha256}`;
      const recipients = ['--for', request.named, '--recovery', offline];
      return ['key', 'create', ...recipients, '--out', out, '--json'];
    };
    const requireMade = async (result: Result, step: number): Promise<void> => {
      const { exitCode, stdout, stderr } = result;
      assert.equal(exitCode, 0, `killed before step ${step}: ${stderr}`);
      const { fp } = JSON.parse(stdout) as { fp: string };
      assert.equal(host.ring.keks.at(-1)?.fp, fp);
      assert.deepEqual(
        (await readBundle(out)).keks.map((kek) => kek.fp),
        [fp],
      );
      await requireClean(host, step);
    };
    const { steps, last } = await kill.walk(
      'create',
      (env) => {
        out = join(folder, `bundle-${runs++}`);
        return killable(host, env, args());
      },
      async (step) => {
        const count = host.ring.keks.length;
        await requireMade(await host.run(...args()), step);
        assert.ok(host.ring.keks.length <= count + 1, 'one KEK, whichever run made it');
      },
      options,
    );
    await requireMade(last, steps + 1);
    t.diagnostic(`${steps} steps`);
    assert.ok(steps >= 20, String(steps));
  });

  for (const verb of [['key', 'import'], ['join']])
    test(`${verb.join(' ')}: ${who}`, async (t) => {
      const host = await tokenOnlyHost();
      const bundle = join(folder, `bundle-${runs++}`);
      let fp = '';
      let expected = '';
      const prepare = async (): Promise<void> => {
        const request = await readRequest((await requestOf(host)).path);
        const { material: _, ...kek } = knownKek(named('test'), recoveryKey, [request]);
        fp = kek.fp;
        const ring = stage(host.ring, ringEntry(kek), named('test').ringId);
        writeFileSync(bundle, formatBundle(named('test'), [kek], ring));
        expected = verb[0] === 'join' ? ringDigest(ring) : fp;
      };
      const args = (): string[] => [...verb, bundle, '--expect', expected];
      const requireTaken = async ({ exitCode, stderr }: Result, step: number): Promise<void> => {
        assert.equal(exitCode, 0, `killed before step ${step}: ${stderr}`);
        assert.equal(host.ring.keks.at(-1)?.fp, fp);
        await requireClean(host, step);
      };
      await prepare();
      const { steps, last } = await kill.walk(
        verb.at(-1) ?? '',
        (env) => killable(host, env, args()),
        async (step) => {
          await requireTaken(await host.run(...args()), step);
          await prepare();
        },
        options,
      );
      await requireTaken(last, steps + 1);
      t.diagnostic(`${steps} steps`);
      assert.ok(steps >= 10, String(steps));
    });
}

test('key create --first: the command is killed', async (t) => {
  let [host, request, out] = [await tokenOnlyHost(), '', join(folder, 'first')];
  request = (await requestOf(await tokenOnlyHost())).named;
  const args = (): string[] => {
    const recipients = ['--for', request, '--recovery', `${recovery.pub}=${recovery.sha256}`];
    return ['key', 'create', '--first', ...recipients, '--out', out, '--json'];
  };
  const requireFirst = async ({ exitCode, stderr }: Result, step: number): Promise<void> => {
    assert.equal(exitCode, 0, `killed before step ${step}: ${stderr}`);
    const states = host.ring.keks.map(({ state }) => state);
    assert.deepEqual([host.ring.generation, states], [1, ['write']], `step ${step}`);
    const carried = (await readBundle(out)).carried;
    assert.equal(carried && ringDigest(carried), ringDigest(host.ring), `step ${step}`);
    await requireClean(host, step);
  };
  const { steps, last } = await kill.walk(
    'create',
    (env) => killable(host, env, args()),
    async (step) => {
      const again = await host.run(...args());
      // Killed at its very end: the bundle is whole, and nothing is left to do.
      if (again.exitCode !== 0) assert.match(again.stderr, /has KEK|exists already/);
      await requireFirst({ ...again, exitCode: 0 }, step);
      [host, out] = [await tokenOnlyHost(), join(folder, `first-${step}`)];
    },
    { every: 5 },
  );
  await requireFirst(last, steps + 1);
  t.diagnostic(`${steps} steps`);
  assert.ok(steps >= 20, String(steps));
});

test('key request: command and token child are killed', async (t) => {
  const host = await tokenOnlyHost();
  const { steps, last } = await kill.walk(
    'request',
    (env) => killable(host, env, ['key', 'request', '--new', '--json']),
    async (step) => {
      const { exitCode, stderr } = await host.run('key', 'request');
      assert.equal(exitCode, 0, stderr);
      const objects = await tokenObjects(host);
      assert.equal(objects.length, 1, `killed before step ${step}`);
      assert.notEqual(objects[0]?.modulus, 'none', `killed before step ${step}`);
    },
    walks[1]?.[1],
  );
  assert.equal(last.exitCode, 0, last.stderr);
  t.diagnostic(`${steps} steps`);
});
