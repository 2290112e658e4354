// kleidi provision --replace: a copy of another host gets a token of its own, and a host that
// has sealed nothing begins anew; without its proof each is refused.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { good, requireRefusal } from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { comeBack, copyOf, exportOf, lostToken, members, recovery } from '../support/losttoken.ts';
import { atTerminal } from '../support/terminal.ts';

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
