// The metrics of a running daemon over their socket: what they say of calls, and that
// no client of them holds up a client of the keys. Order and counts, never a duration.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { get, metricsSocketOf, sampleOf } from '../support/metricsclient.ts';
import type { Scraped } from '../support/scrapers.ts';

const host = await TestHost.provisioned();
const socket = metricsSocketOf(host);
const daemon = await host.serve();
const seed = randomBytes(32);

/** Once they say this: a text is good for a moment. */
async function until(sample: string, value: number): Promise<string> {
  for (;;) {
    // It listens a moment after the daemon does.
    const { text } = await get(socket, '/metrics').catch(() => ({ text: '' }));
    if (sampleOf(text, sample) === value) return text;
    await sleep(20);
  }
}

function raw(...texts: readonly (string | Buffer)[]): Socket {
  const client = connect(socket);
  client.on('error', () => undefined);
  after(() => client.destroy());
  for (const text of texts) client.write(text);
  return client;
}

const ended = (client: Socket): Promise<unknown> =>
  new Promise((resolve) => (client.closed ? resolve(undefined) : client.once('close', resolve)));

/** Its ends of connections: they have the name under which the socket was made. */
function connectionsOf(pid: number): number {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  const listening = 1;
  return lines.filter((line) => line.endsWith(`/.metrics.sock.${pid}`)).length - listening;
}

async function keysAreServed(): Promise<void> {
  const client = new KmsClient(host.socket);
  const { ciphertext, keyId } = await client.encrypt(seed);
  assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  client.close();
}

test('calls are counted by code, with their durations', { timeout: 30_000 }, async () => {
  const client = new KmsClient(host.socket);
  for (let i = 0; i < 5; i += 1) await client.encrypt(seed);
  await assert.rejects(client.encrypt(Buffer.alloc(0)));
  await assert.rejects(client.decrypt(randomBytes(80), 'no key id'));
  const text = await until('kleidi_calls_total{rpc="Decrypt",code="INVALID_ARGUMENT"}', 1);
  client.close();
  const fp = host.ring.keks[0]?.fp;
  for (const [sample, value] of [
    ['kleidi_calls_total{rpc="Encrypt",code="OK"}', 5],
    ['kleidi_calls_total{rpc="Encrypt",code="INVALID_ARGUMENT"}', 1],
    ['kleidi_call_duration_seconds_count{rpc="Encrypt"}', 6],
    ['kleidi_call_duration_seconds_bucket{rpc="Encrypt",le="+Inf"}', 6],
    [`kleidi_kek_encrypts_total{fp="${fp}"}`, 5],
    ['kleidi_keks{state="write",provider="pkcs11"}', 1],
    ['kleidi_keks_missing', 0],
    ['kleidi_keks_without_recovery', 1],
    ['kleidi_ring_generation', 1],
    ['kleidi_serving', 1],
    ['kleidi_healthy', 1],
  ] as const)
    assert.equal(sampleOf(text, sample), value, sample);
  assert.equal(
    sampleOf(text, 'kleidi_write_kek_created_timestamp_seconds'),
    Date.parse(host.ring.keks[0]?.created ?? '') / 1000,
  );
});

test('what it says of the ring is what ring digest --live says, and no PIN is in it', async () => {
  const { stdout } = await host.run('ring', 'digest', '--live');
  const { text } = await get(socket, '/metrics');
  const info = text.split('\n').find((line) => line.startsWith('kleidi_ring_info{')) ?? '';
  assert.ok(info.includes(`digest="${stdout.trim()}"`), info);
  assert.match(info, /ring="test".*generation="1".*key_id_hash="sha256:[0-9a-f]{64}"/);
  assert.ok(!text.includes(host.pin));
});

test('docs/metrics.md has each metric with its kind, and no other', async () => {
  const headers = { accept: 'application/openmetrics-text' };
  const { text } = await get(socket, '/metrics', { headers });
  const told = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(
    ([, name, kind]) => `${name} ${kind}`,
  );
  const rows = readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(kleidi_\w+)` \| (\w+) \|/gm);
  const documented = [...rows].map(([, name, kind]) => `${name} ${kind}`);
  assert.deepEqual(documented.sort(), told.sort());
});

test('OpenMetrics for who asks for it, the older format for others', async () => {
  const headers = { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' };
  const [modern, older] = [
    await get(socket, '/metrics', { headers }),
    await get(socket, '/metrics'),
  ];
  assert.match(modern.type, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(modern.text, /\n# EOF\n$/);
  assert.match(older.type, /^text\/plain; version=0\.0\.4/);
  assert.doesNotMatch(older.text, /# EOF|# UNIT| info\n/);
});

test('all who ask at one moment get one text', async () => {
  const answers = await Promise.all(Array.from({ length: 10 }, () => get(socket, '/metrics')));
  const texts = new Set(answers.map(({ text }) => text));
  // Two where the moment ends among them.
  assert.ok(texts.size <= 2, `${texts.size}`);
});

test('only GET, only these paths, no body, and no long headers', async () => {
  for (const method of ['POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
    assert.equal((await get(socket, '/metrics', { method })).status, 405, method);
  assert.equal((await get(socket, '/')).status, 404);
  assert.equal((await get(socket, '/metrics?x=1')).status, 200);
  const body = { headers: { 'content-length': '10000000' } };
  assert.equal((await get(socket, '/metrics', body)).status, 400);
  const long = await get(socket, '/metrics', { headers: { x: 'y'.repeat(16_384) } });
  assert.equal(long.status, 431);
});

test('10 MB of headers end with their connection, not with the daemon', async () => {
  const greedy = raw('GET /metrics HTTP/1.1\r\n');
  const gone = ended(greedy);
  greedy.resume();
  for (let i = 0; i < 1000 && !greedy.destroyed; i += 1) {
    greedy.write(`x${i}: ${'y'.repeat(10_000)}\r\n`);
    if (i % 20 === 0) await sleep(1);
  }
  await gone;
  await keysAreServed();
});

test('who comes last is answered beside idle connections and readers that never read', {
  timeout: 60_000,
}, async () => {
  const pipelined = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200);
  const idle = Array.from({ length: 64 }, () => raw());
  const greedy = Array.from({ length: 64 }, () => raw(pipelined).pause());
  for (let i = 0; i < 20; i += 1) {
    assert.equal((await get(socket, '/readyz')).status, 200);
    await keysAreServed();
  }
  // All but 16 had to make room, and those are cut when their time is over.
  for (const each of [...idle, ...greedy]) each.resume();
  await Promise.all([...idle, ...greedy].map(ended));
  await keysAreServed();
});

test('100 scrapes a second, a reader that never reads and 10 MB of headers move no call', {
  timeout: 60_000,
}, async () => {
  const told = 'kleidi_calls_total{rpc="Encrypt",code="OK"}';
  const before = sampleOf((await get(socket, '/metrics')).text, told) ?? 0;
  const child = fork('test/support/scrapers.ts', [socket]);
  after(() => child.kill());
  child.send('start');
  const client = new KmsClient(host.socket);
  let calls = 0;
  let scraped: Scraped | undefined;
  child.once('message', (message) => (scraped = message as Scraped));
  // It stops once each was at work; no call may fail meanwhile.
  for (const enough = sleep(1_000).then(() => child.send('stop')); scraped === undefined; ) {
    await client.encrypt(seed);
    calls += 1;
    if (calls % 100 === 0) await Promise.race([enough, sleep(1)]);
  }
  client.close();
  const { answered, failed, unread, cut } = scraped;
  assert.ok(
    answered > 0 && unread > 0 && cut > 0,
    JSON.stringify({ answered, failed, unread, cut }),
  );
  const text = await until(told, before + calls);
  assert.doesNotMatch(text, /^kleidi_calls_cut_total\{/m);
  assert.equal(sampleOf(text, 'kleidi_connections_displaced_total'), 0);
});

test('a reader that never reads is dropped', { timeout: 60_000 }, async () => {
  const greedy = raw('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500)).pause();
  await new Promise((resolve) => greedy.once('connect', resolve));
  assert.ok(connectionsOf(daemon.pid) > 0);
  // What it has not read keeps its own end open, and not the daemon's.
  while (connectionsOf(daemon.pid) > 0) await sleep(20);
  assert.equal(greedy.destroyed, false);
});

test('the daemon removes its socket, and leaves the folder', { timeout: 30_000 }, async () => {
  assert.equal(statSync(socket).mode & 0o777, 0o666);
  const { mode, ino } = statSync(dirname(socket));
  assert.equal(mode & 0o777, 0o711);
  assert.equal(await daemon.stop(), 0);
  assert.equal(existsSync(socket), false);
  await host.serve();
  assert.equal(statSync(dirname(socket)).ino, ino, 'it may be mounted elsewhere');
});

test('a ring that is not there: healthz and readyz are 503, with why, and come back', {
  timeout: 30_000,
}, async () => {
  const aside = `${host.ringPath}.aside`;
  renameSync(host.ringPath, aside);
  await host.serve();
  await until('kleidi_failure{code="ring-missing"}', 1);
  for (const path of ['/healthz', '/readyz']) {
    const { status, text } = await get(socket, path);
    assert.equal(status, 503);
    assert.equal(text, 'the ring file is missing\n');
  }
  renameSync(aside, host.ringPath);
  await until('kleidi_serving', 1);
  assert.equal((await get(socket, '/healthz')).text, 'ok\n');
});

test('a host that lacks a KEK is ready, and not healthy', { timeout: 30_000 }, async () => {
  await host.serve();
  const { ring } = host;
  const [kek] = ring.keks;
  const other = { ...kek, fp: '0'.repeat(32), check: '1'.repeat(32), state: 'read' };
  writeFileSync(host.ringPath, JSON.stringify({ ...ring, keks: [...ring.keks, other] }));
  await until('kleidi_keks_missing', 1);
  assert.equal((await get(socket, '/readyz')).status, 200);
  const { status, text } = await get(socket, '/healthz');
  assert.equal(status, 503);
  assert.match(text, /^this host lacks KEK 0{32}/);
});

test('killed, its socket is taken over; where it cannot be made, the keys are served', {
  timeout: 30_000,
}, async () => {
  const killed = await host.serve();
  await until('kleidi_ring_generation', 1);
  killed.signal('SIGKILL');
  await killed.ended;
  const next = await host.serve();
  await until('kleidi_ring_generation', 1);
  await next.stop();
  mkdirSync(socket);
  const last = await host.serve();
  const line = await last.event('metrics-unavailable');
  assert.match(String(line['msg']), /exists and is not a socket/);
  await keysAreServed();
  assert.equal(await last.stop(), 0);
});

test('opens, self-tests, verifications and module calls are counted by what came of them', {
  timeout: 30_000,
}, async () => {
  const intervals = { selfTest: { intervalMs: 100 }, verifier: { intervalMs: 1_000 } };
  const other = await TestHost.provisioned(intervals);
  const sentOnce = async (sample: string): Promise<string> => {
    for (;;) {
      const { text } = await get(metricsSocketOf(other), '/metrics').catch(() => ({ text: '' }));
      if ((sampleOf(text, sample) ?? 0) > 0) return text;
      await sleep(20);
    }
  };
  const first = await other.serve();
  const text = await sentOnce('kleidi_token_verifications_total{result="whole"}');
  assert.equal(sampleOf(text, 'kleidi_provider_opens_total{provider="pkcs11",result="ok"}'), 1);
  for (const sample of [
    'kleidi_self_tests_total{provider="pkcs11",result="ok"}',
    'kleidi_module_calls_total{operation="self-test"}',
    'kleidi_module_calls_total{operation="find"}',
  ])
    assert.ok((sampleOf(text, sample) ?? 0) > 0, sample);
  assert.doesNotMatch(text, /^kleidi_module_errors_total\{|^kleidi_vault_\w+[ {]/m);
  await first.stop();
  chmodSync(other.pinPath, 0o600);
  writeFileSync(other.pinPath, 'another PIN than the one of the token');
  chmodSync(other.pinPath, 0o400);
  await other.serve();
  const refused = 'kleidi_provider_opens_total{provider="pkcs11",result="pin-refused"}';
  assert.doesNotMatch(await sentOnce(refused), /another PIN/);
});
