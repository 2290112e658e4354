// kleidi provision --replace: a host whose token is lost, or is that of another host, gets its
// own and comes back to its ring; one that has sealed nothing begins anew. What was there
// before is moved, never deleted; without its proof each case is refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createFor,
  good,
  joinTo,
  makeRecovery,
  promoteOn,
  recoveryBundles,
  requestOf,
  requireRefusal,
  rewrapInto,
  tokenOnlyHost,
} from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { KillAtStep } from '../support/killatstep.ts';
import { kleidi, type Result } from '../support/kleidi.ts';
import { memberLike } from '../support/member.ts';
import { passphrase } from '../support/recoveryset.ts';
import { atTerminal } from '../support/terminal.ts';

const offline = temporaryFolder();
const recovery = await makeRecovery(offline);
let files = 0;

interface Pair {
  readonly first: TestHost;
  readonly second: TestHost;
  readonly fp: string;
}

/** Two members of one ring at generation 2. */
async function members(): Promise<Pair> {
  const [first, second] = [await tokenOnlyHost('prod'), await tokenOnlyHost('prod')];
  const made = await createFor(first, [await requestOf(second)], recovery);
  await joinTo(second, made);
  for (const host of [first, second]) await promoteOn(host, made.fp, 2);
  return { first, second, fp: made.fp };
}

interface Exported {
  readonly file: string;
  readonly digest: string;
}

async function exportOf(host: TestHost): Promise<Exported> {
  const file = join(offline, `ring-${files++}.json`);
  await good(host, 'ring', 'export', '--out', file);
  return { file, digest: (await good(host, 'ring', 'digest')).trim() };
}

function lostToken({ file, digest }: Exported): string[] {
  return ['provision', '--replace', 'lost-token', '--member-ring', file, '--expect', digest];
}

/** The KEKs of a member, by the recovery key, and its ring. */
async function comeBack(to: TestHost, member: TestHost): Promise<void> {
  const [request, { file, digest }] = [await requestOf(to), await exportOf(member)];
  const out = join(offline, `back-${files++}`);
  const args = ['--key', recovery.key, '--for', request.named, '--ring', file, '--expect', digest];
  const rewrap = ['recovery', 'rewrap', ...recoveryBundles(member), ...args, '--out', out];
  const { exitCode, stderr } = await kleidi([...rewrap, '--passphrase-fd', '0'], {
    input: passphrase,
  });
  assert.equal(exitCode, 0, stderr);
  await good(to, 'join', out, '--expect', digest);
}

function replacedIn(host: TestHost): string {
  const folder = join(host.folder, 'state/replaced');
  const [only = '', ...more] = readdirSync(folder);
  assert.deepEqual(more, []);
  return join(folder, only);
}

const losses: readonly (readonly [string, (host: TestHost) => void])[] = [
  ['its folder is gone', (host) => rmSync(host.tokens, { recursive: true })],
  ['it is damaged', (host) => damage(host)],
  ['its PIN is gone', (host) => rmSync(host.pinPath)],
  ['its PIN is another one', (host) => replacePin(host)],
  ['token, ring and PINs are gone', (host) => loseAll(host)],
];

function damage(host: TestHost): void {
  const [token = ''] = readdirSync(host.tokens);
  writeFileSync(join(host.tokens, token, 'token.object'), 'x');
}

function replacePin(host: TestHost): void {
  rmSync(host.pinPath);
  writeFileSync(host.pinPath, randomBytes(18).toString('base64url'), { mode: 0o400 });
}

function loseAll(host: TestHost): void {
  rmSync(join(host.folder, 'state'), { recursive: true });
  for (const pin of ['pin', 'so-pin']) rmSync(join(host.folder, pin));
}

for (const [what, lose] of losses) {
  test(`lost token: ${what}: refused without another member, and with it the host comes back`, async () => {
    const { first, second, fp } = await members();
    const [good1, ring] = [await exportOf(first), second.ring];
    lose(second);
    await requireSame(second, /another member has the KEKs/, ...lostToken(good1).slice(0, 3));
    const done = await good(second, ...lostToken(good1));
    assert.match(done, /ring 'prod', generation 0/);
    assert.deepEqual([second.ring.ring, second.ring.keks], ['prod', []]);
    assert.match(await good(second, ...lostToken(good1)), /nothing changed/);
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

function contentsOf(folder: string): Record<string, string> {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !/\.lock$|^token\.object$/.test(entry.name),
  );
  const paths = found.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(paths.map((path) => [path, readFileSync(path, 'base64')]));
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
  const backup = join(offline, `backup-${files++}.json`);
  const digest = (await good(first, 'backup', '--out', backup)).split('\n')[1] ?? '';
  rmSync(join(second.folder, 'state/bundles'), { recursive: true });
  const bare = join(offline, `backup-${files++}.json`);
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

function copyOf(host: TestHost): TestHost {
  const copy = memberLike(host);
  const path = join(copy.folder, 'state/provision.json');
  const record = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...record, machine: 'ab'.repeat(32) }));
  return copy;
}

test('copied disk: refused without the word of the operator, and then a member of its own', async () => {
  const { first } = await members();
  const copy = copyOf(first);
  const replace = ['provision', '--replace', 'copied-disk'];
  await requireRefusal(copy, /nobody has said.*--copied/, ...replace);
  await requireRefusal(copy, /made on another machine/, ...lostToken(await exportOf(first)));
  await requireRefusal(copy, /--replace copied-disk/, 'provision');
  await good(copy, ...replace, '--copied');
  assert.deepEqual([copy.ring.ring, copy.ring.generation], ['prod', 0]);
  assert.notEqual(copy.pin, first.pin);
  assert.match(await good(copy, ...replace, '--copied'), /nothing changed/);
  await comeBack(copy, first);
  assert.equal((await exportOf(copy)).digest, (await exportOf(first)).digest);
});

test('never sealed: another name, once the KEK is given up; its daemon takes the new ring', async () => {
  const host = await TestHost.provisioned({}, 'kleidi');
  const [fp = ''] = host.ring.keks.map((kek) => kek.fp);
  const daemon = await host.superviseServe();
  await requireRefusal(host, /--replace never-sealed/, 'provision', '--ring', 'prod');
  const named = `${recovery.pub}=${recovery.sha256}`;
  const replace = ['provision', '--replace', 'never-sealed', '--ring', 'prod'];
  const anew = [...replace, '--recovery', named];
  await requireRefusal(host, /was not given up: --forget/, ...anew);
  await requireRefusal(host, /is not on this host/, ...anew, '--forget', 'ab'.repeat(16));
  assert.equal((await host.run(...anew, '--forget', fp.slice(0, 8))).exitCode, 2);
  await good(host, ...anew, '--forget', fp);
  const [kek] = host.ring.keks;
  assert.deepEqual([host.ring.ring, kek?.state, kek?.recovery], ['prod', 'write', recovery.sha256]);
  assert.equal((await new KmsClient(host.socket).status()).keyId, `k1.prod.1.${kek?.fp}`);
  assert.match(await good(host, ...anew, '--forget', fp), /KEKs were not changed/);
  await daemon.stop();
});

test('never sealed: each sign of the contrary refuses', async () => {
  const host = await TestHost.provisioned();
  const [fp = ''] = host.ring.keks.map((kek) => kek.fp);
  const anew = ['provision', '--replace', 'never-sealed', '--ring', 'prod', '--forget', fp];
  const configuration = join(host.folder, 'encryption-config.yaml');
  const state = join(host.folder, 'state/apiserver');
  const signs: readonly (readonly [string, string, RegExp])[] = [
    [configuration, 'kms: { name: kleidi }', /its phase cannot be told/],
    [join(state, 'record.json'), '{}', /kleidi apiserver enable was used here/],
    [join(state, 'phase.json'), '{}', /was taken to a phase/],
  ];
  await good(host, 'apiserver', 'config', '--write');
  for (const [path, text, reason] of signs) {
    const aside = `${path}.aside`;
    const wasThere = path === configuration;
    if (wasThere) renameSync(path, aside);
    mkdirSync(state, { recursive: true });
    writeFileSync(path, text);
    await requireRefusal(host, reason, ...anew);
    rmSync(path);
    if (wasThere) renameSync(aside, path);
  }
  const daemon = await host.serve();
  const client = new KmsClient(host.socket);
  await client.encrypt(randomBytes(32));
  await requireRefusal(host, /has sealed or opened 1 seeds; 1 clients/, ...anew);
  client.close();
  await daemon.stop();
  await good(host, ...anew);
  assert.equal(host.ring.ring, 'prod');
});

test('at a terminal the fingerprint of each KEK is typed, and so is the name of a copy', async () => {
  const host = await TestHost.provisioned();
  const [fp = ''] = host.ring.keks.map((kek) => kek.fp);
  const config = ['--config', host.configPath];
  const anew = ['provision', '--replace', 'never-sealed', '--ring', 'prod', ...config];
  const wrong = await atTerminal([['to go on', `${fp.slice(0, 8)}\n`]], ...anew);
  assert.match(wrong.shown, /not confirmed, nothing was changed/);
  assert.equal(host.ring.ring, 'test');
  const right = await atTerminal([['to go on', `${fp}\n`]], ...anew);
  assert.equal(right.exitCode, 0, right.shown);
  assert.equal(host.ring.ring, 'prod');
  const copy = copyOf(host);
  const asCopy = ['provision', '--replace', 'copied-disk', '--config', copy.configPath];
  const typed = await atTerminal([['to go on', `${hostname()}\n`]], ...asCopy);
  assert.equal(typed.exitCode, 0, typed.shown);
  assert.equal(copy.ring.generation, 0);
});

interface Walk {
  readonly name: string;
  readonly host: TestHost;
  readonly args: readonly string[];
}

async function walks(): Promise<readonly Walk[]> {
  const [{ first, second }, fresh] = [await members(), await TestHost.provisioned()];
  const exported = await exportOf(first);
  const copy = copyOf(first);
  damage(second);
  const [fp = ''] = fresh.ring.keks.map((kek) => kek.fp);
  const anew = ['provision', '--replace', 'never-sealed', '--ring', 'prod', '--forget', fp];
  return [
    { name: 'lost token', host: second, args: lostToken(exported) },
    {
      name: 'copied disk',
      host: copy,
      args: ['provision', '--replace', 'copied-disk', '--copied'],
    },
    { name: 'never sealed', host: fresh, args: anew },
  ];
}

/** Puts the host back as it is now. */
function snapshotOf({ folder }: TestHost): () => void {
  const saved = join(temporaryFolder(), 'saved');
  cpSync(folder, saved, { recursive: true });
  return () => {
    rmSync(folder, { recursive: true });
    cpSync(saved, folder, { recursive: true });
  };
}

test('killed before any step, the same command again comes to its end, and nothing of before is lost', async (t) => {
  const kill = new KillAtStep();
  for (const { name, host, args } of await walks()) {
    const restore = snapshotOf(host);
    const old = { pin: host.pin, ring: readFileSync(host.ringPath, 'utf8') };
    const [token = ''] = readdirSync(host.tokens);
    const kept = (): void => {
      const all = Object.entries(contentsOf(host.folder));
      const has = (file: string, text: string): boolean => {
        const held = Buffer.from(text).toString('base64');
        return all.some(([path, contents]) => path.endsWith(file) && contents === held);
      };
      assert.ok(has('/pin', old.pin) && has('/ring.json', old.ring), name);
      assert.ok(
        all.some(([path]) => path.includes(`/${token}/`)),
        `${name}: the old token`,
      );
    };
    const requireEnd = async (step: number, last: Result): Promise<void> => {
      const where = `${name}, killed at step ${step}`;
      assert.equal(last.exitCode, 0, `${where}: ${last.stderr}`);
      kept();
      replacedIn(host);
      const { ring, keks } = host.ring;
      assert.deepEqual([ring, keks.length], ['prod', name === 'never sealed' ? 1 : 0], where);
      assert.notEqual(host.pin, old.pin, where);
    };
    const run = (env: NodeJS.ProcessEnv) => host.runWith({ env }, ...args);
    // All steps of all three are four minutes; a step of each kind is among every eighth.
    const isLong = process.env['KLEIDI_TEST_LONG'] === '1';
    const options = { every: isLong ? 1 : 8 };
    const { steps, last } = await kill.walk(
      'provision',
      run,
      async (step) => {
        kept();
        await requireEnd(step, await host.run(...args));
        restore();
      },
      options,
    );
    t.diagnostic(`${name}: ${steps} steps`);
    await requireEnd(steps + 1, last);
    assert.ok(steps > 40, `${name} has only ${steps} steps`);
    assert.match(await good(host, ...args), /nothing changed/);
    await good(host, 'key', 'request');
  }
});
