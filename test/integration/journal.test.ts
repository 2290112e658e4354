// The daemon's own entries in the journal: a real daemon whose /run holds a
// datagram socket in the place of journald's (in a mount namespace of its own).
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fstatSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { events } from '../../src/events.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { JournalReceiver } from '../support/journald.ts';
import { program } from '../support/kleidi.ts';
import { skipReason } from '../support/skip.ts';

const host = await TestHost.provisioned({ log: { level: 'info', format: 'auto' } });
const folder = join(host.folder, 'journal');
mkdirSync(folder);
const mountJournal = `mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind ${folder} /run/systemd/journal`;
const probe = spawnSync('unshare', ['--mount', 'sh', '-c', mountJournal]);
const skip = probe.status === 0 ? false : skipReason('needs root and mount namespaces');

test('a daemon under systemd tells the journal, by fields', { skip }, async () => {
  const journald = new JournalReceiver(folder);
  after(() => journald.close());
  const outPath = join(host.folder, 'stdout');
  const out = openSync(outPath, 'w');
  const { dev, ino } = fstatSync(out);
  const daemon = spawn(
    'unshare',
    [
      '--mount',
      'sh',
      '-c',
      `${mountJournal} && exec "$@"`,
      'sh',
      process.execPath,
      program,
      'serve',
      '--config',
      host.configPath,
    ],
    { env: { ...process.env, JOURNAL_STREAM: `${dev}:${ino}` }, stdio: ['ignore', out, 'inherit'] },
  );
  after(() => daemon.kill('SIGKILL'));

  const serving = await journald.event('serving');
  const { keyId } = await new KmsClient(host.socket).status();
  assert.deepEqual(serving['KLEIDI_KEY_ID'], [keyId]);
  const hash = createHash('sha256').update(keyId).digest('hex');
  assert.deepEqual(serving['KLEIDI_KEY_ID_HASH'], [`sha256:${hash}`]);
  assert.deepEqual(serving['KLEIDI_RING_GENERATION'], ['1']);
  assert.deepEqual((await journald.event('listening'))['KLEIDI_SOCKET'], [host.socket]);

  const foreign = `k1.other.1.${'0'.repeat(32)}`;
  const client = new KmsClient(host.socket);
  const { ciphertext } = await client.encrypt(Buffer.alloc(32, 1));
  await assert.rejects(client.decrypt(ciphertext, foreign));
  const refused = await journald.event('call-failed');
  assert.deepEqual(refused['KLEIDI_ERROR_CODE'], ['key-id-foreign']);
  assert.deepEqual(refused['KLEIDI_KEY_ID'], [foreign]);
  assert.deepEqual(refused['KLEIDI_RPC'], ['Decrypt']);

  const ring = readFileSync(host.ringPath, 'utf8');
  writeFileSync(`${host.ringPath}.new`, ring.replace('"generation": 1', '"generation": 0'));
  renameSync(`${host.ringPath}.new`, host.ringPath);
  const ringRefused = await journald.event('ring-refused');
  assert.deepEqual(ringRefused['MESSAGE_ID'], [events['ring-refused'].id]);
  assert.deepEqual(ringRefused['PRIORITY'], ['3']);

  assert.equal(readFileSync(outPath, 'utf8'), '', 'nothing is told twice');
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  journald.close();
  daemon.kill('SIGTERM');
  assert.equal(await ended, 0, 'no socket of the log keeps the daemon alive');
  assert.match(readFileSync(outPath, 'utf8'), /^<6>stopping event=stopping reason=SIGTERM\n$/);
  assert.ok(!JSON.stringify(journald.entries).includes(host.pin));
});

test('a daemon whose standard output has no reader goes on', async () => {
  const other = await TestHost.provisioned({ log: { level: 'debug', format: 'json' } });
  const args = [program, 'serve', '--config', other.configPath];
  const daemon = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  after(() => daemon.kill('SIGKILL'));
  await new Promise((resolve) => daemon.stdout.once('data', resolve));
  daemon.stdout.destroy();
  const client = new KmsClient(other.socket);
  for (let i = 0; i < 50; i += 1) await client.encrypt(Buffer.alloc(32, 1)).catch(() => undefined);
  assert.equal((await client.status()).healthz, 'ok');
  assert.equal(daemon.exitCode, null);
});
