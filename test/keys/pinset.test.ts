// kleidi pin set on a real SoftHSM, also as a token that may lock: a new PIN is tried before
// it is kept, a refused one changes nothing, and the token changes to one that is on disk.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeRecovery } from '../support/ceremony.ts';
import { KmsClient } from '../support/client.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { kleidi, type Result } from '../support/kleidi.ts';
import { passphrase } from '../support/recoveryset.ts';
import { missingTool } from '../support/skip.ts';

const folder = temporaryFolder();
const recovery = await makeRecovery(folder);
const named = `${recovery.pub}=${recovery.sha256}`;
const soPath = (host: TestHost): string => join(host.folder, 'so-pin');
const partOf = (host: TestHost): string => join(host.folder, 'state/pin.recovery.json');

function pinSet(host: TestHost, pin: string, ...args: string[]): Promise<Result> {
  return host.runWith({ input: pin === '' ? '' : `${pin}\n` }, 'pin', 'set', ...args);
}

async function good(host: TestHost, pin: string, ...args: string[]): Promise<Result> {
  const result = await pinSet(host, pin, ...args);
  assert.equal(result.exitCode, 0, result.stderr);
  if (pin !== '') assert.ok(!`${result.stdout}${result.stderr}`.includes(pin), 'not shown');
  return result;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** All that is on disk, the token's files too. */
function bytesOf(host: TestHost): object {
  const files = readdirSync(host.folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !entry.name.endsWith('.lock'),
  );
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return paths.map((path) => [path, sha256(readFileSync(path)), statSync(path).mode]);
}

async function requireRefused(
  host: TestHost,
  reason: RegExp,
  pin: string,
  ...args: string[]
): Promise<void> {
  const before = bytesOf(host);
  const { exitCode, stdout, stderr } = await pinSet(host, pin, ...args);
  assert.notEqual(exitCode, 0);
  assert.match(stderr, reason);
  assert.match(stderr, /kleidi: hint: .+/);
  assert.ok(pin === '' || !`${stdout}${stderr}`.includes(pin), 'not shown');
  assert.deepEqual(bytesOf(host), before);
}

async function requireOpens(host: TestHost): Promise<void> {
  const { exitCode, stderr } = await host.run('key', 'list');
  assert.equal(exitCode, 0, stderr);
}

/** What an administrator of the token does: its PIN is another one than the one that is kept. */
async function changedElsewhere(host: TestHost, pin: string): Promise<void> {
  const [kept, mode] = [host.pin, statSync(host.pinPath).mode];
  await good(host, pin, '--change');
  writeFileSync(host.pinPath, kept, { mode });
}

async function pinOfPart(host: TestHost): Promise<string> {
  const out = join(temporaryFolder(), 'pin.clear');
  const args = ['recovery', 'pin', partOf(host), '--key', recovery.key, '--out', out];
  const opened = await kleidi([...args, '--passphrase-fd', '0'], { input: `${passphrase}\n` });
  assert.equal(opened.exitCode, 0, opened.stderr);
  return readFileSync(out, 'utf8');
}

test('--change: the token and the file have the new PIN, with owner and mode as before', async () => {
  const host = await TestHost.provisioned();
  const [old, mode] = [host.pin, statSync(host.pinPath).mode];
  const { stdout } = await good(host, 'another-pin-1', '--change', '--json');
  assert.deepEqual(JSON.parse(stdout), { pin: 'user', outcome: 'changed', daemon: 'no-daemon' });
  assert.equal(host.pin, 'another-pin-1');
  assert.equal(statSync(host.pinPath).mode, mode);
  await requireOpens(host);
  await requireRefused(host, /refuses the new PIN/, old);
  await good(host, '', '--change', '--random');
  assert.match(host.pin, /^[A-Za-z0-9_-]{32}$/);
  await requireOpens(host);
  assert.deepEqual(
    readdirSync(host.folder).filter((name) => /pending|tmp/.test(name)),
    [],
  );
});

test('a PIN that is typed as an argument is refused, and not shown', async () => {
  const host = await TestHost.provisioned();
  const before = bytesOf(host);
  const { exitCode, stdout, stderr } = await pinSet(host, '', 'typed-here-1', '--change');
  assert.equal(exitCode, 2);
  assert.match(stderr, /too many arguments: it takes no argument/);
  assert.ok(!`${stdout}${stderr}`.includes('typed-here-1'));
  assert.deepEqual(bytesOf(host), before);
});

test('without --change: what the token has is kept, and a wrong PIN changes no byte', async () => {
  const host = await TestHost.provisioned();
  await requireRefused(host, /refuses the new PIN; nothing was changed/, 'a-wrong-pin');
  await changedElsewhere(host, 'from-elsewhere');
  assert.equal((await host.run('key', 'list')).exitCode, 1);
  await requireRefused(host, /refuses the PIN that is kept/, 'third-pin', '--change');
  await requireRefused(host, /refuses the new PIN/, 'a-wrong-pin');
  await good(host, 'from-elsewhere');
  assert.equal(host.pin, 'from-elsewhere');
  await requireOpens(host);
});

test('--so: the SO PIN, and nothing of the other', async () => {
  const host = await TestHost.provisioned();
  const [pin, so] = [host.pin, readFileSync(soPath(host), 'utf8')];
  await requireRefused(host, /refuses the new SO PIN/, 'a-wrong-so-pin', '--so');
  await good(host, 'another-so-pin', '--so', '--change');
  assert.equal(readFileSync(soPath(host), 'utf8'), 'another-so-pin');
  await requireRefused(host, /refuses the new SO PIN/, so, '--so');
  await good(host, 'another-so-pin', '--so');
  assert.equal(host.pin, pin);
  await requireOpens(host);
});

test('the copy for the recovery key follows, or nothing is changed', async () => {
  const host = new TestHost();
  assert.equal((await host.run('provision', '--recovery', named)).exitCode, 0);
  const other = await makeRecovery(folder, 'other');
  await requireRefused(host, /no recovery key is named for the new one/, 'second-pin', '--change');
  const foreign = ['--change', '--recovery', `${other.pub}=${other.sha256}`];
  await requireRefused(host, /not the recovery key of the ring/, 'second-pin', ...foreign);
  await good(host, 'second-pin', '--change', '--recovery', named);
  assert.equal(await pinOfPart(host), 'second-pin');
  await good(host, 'second-so-pin', '--so', '--change');
  assert.equal(await pinOfPart(host), 'second-pin');
});

test('what is no PIN, and a wrong use, change nothing', async () => {
  const host = await TestHost.provisioned();
  await requireRefused(host, /no terminal to ask/, '', '--change');
  await requireRefused(host, /one line of text/, 'two\nlines', '--change');
  await requireRefused(host, /1 to 255 bytes/, 'x'.repeat(256), '--change');
  await requireRefused(host, /does not take the new PIN: CKR_PIN_LEN_RANGE/, 'abc', '--change');
  await requireRefused(host, /--random is for --change/, '', '--random');
  await requireRefused(host, /--recovery is not for --so/, '', '--so', '--recovery', named);
});

test('a host that keeps its KEKs in Vault has no PIN to set', async () => {
  const host = new TestHost({ vault: { address: ['https://vault.example:8200'] } });
  const { exitCode, stderr } = await pinSet(host, 'any-pin', '--change');
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /keeps its KEKs in Vault, and uses no token/);
});

test('a daemon that is no unit serves on, and its verifier takes the new PIN', async () => {
  const host = await TestHost.provisioned({ verifier: { intervalMs: 1_000 } });
  await host.serve();
  const client = new KmsClient(host.socket);
  const sealed = await client.encrypt(Buffer.alloc(32, 7));
  const { stdout } = await good(host, 'served-pin', '--change', '--json');
  assert.equal((JSON.parse(stdout) as { daemon: string }).daemon, 'unsupervised');
  const since = Date.now();
  for (;;) {
    const status = await host.run('status', '--json');
    const state = JSON.parse(status.stdout) as {
      tokenVerifiedUnixMs: number;
      tokenDamaged: boolean;
    };
    if (!state.tokenDamaged && state.tokenVerifiedUnixMs > since) break;
    assert.ok(Date.now() < since + 60_000, status.stdout);
  }
  assert.deepEqual(await client.decrypt(sealed.ciphertext, sealed.keyId), Buffer.alloc(32, 7));
  client.close();
});

test('a KEK that only the daemon still has is not risked by a restart', async () => {
  const host = await TestHost.provisioned({ verifier: { intervalMs: 3_600_000 } });
  await host.serve();
  await changedElsewhere(host, 'from-elsewhere');
  const files = readdirSync(host.tokens, { recursive: true, encoding: 'utf8' });
  const keys = files.filter((name) => /\.object$/.test(name) && !name.endsWith('token.object'));
  assert.ok(keys.length > 0);
  for (const name of keys) rmSync(join(host.tokens, name));
  await requireRefused(host, /lacks KEK [0-9a-f]+, which the daemon serves/, 'from-elsewhere');
});

describe('at a token that may lock', { skip: missingTool('cc') }, async () => {
  const faults = new FaultModule();
  const mayLock = 'C_GetInfo rename ACME';
  const host = await TestHost.provisioned();
  host.configure({ pkcs11: { module: faults.path } });
  const run = (pin: string, ...args: string[]): Promise<Result> =>
    host.runWith({ env: faults.env, input: `${pin}\n` }, 'pin', 'set', ...args);

  test('each wrong PIN is tried once, and another one does not make it be tried again', async () => {
    faults.plan(mayLock);
    faults.forgetTrace();
    for (const pin of ['wrong-1', 'wrong-2', 'wrong-1', 'wrong-2', 'wrong-1']) {
      assert.match((await run(pin)).stderr, /refuses the new PIN/);
    }
    assert.equal(faults.calls('C_Login'), 2);
  });

  test('a refused PIN that the token is given is no refused one any more', async () => {
    faults.plan(mayLock);
    const { exitCode, stderr } = await run('wrong-1', '--change');
    assert.equal(exitCode, 0, stderr);
    const list = await host.runWith({ env: faults.env }, 'key', 'list');
    assert.equal(list.exitCode, 0, list.stderr);
    faults.forgetTrace();
    assert.match((await run('wrong-2')).stderr, /refuses the new PIN/);
    assert.equal(faults.calls('C_Login'), 0, 'the other one is remembered');
    assert.ok(existsSync(join(host.folder, 'run/refused-pin')));
  });
});
