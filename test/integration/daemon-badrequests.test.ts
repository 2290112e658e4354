// The list of requests that must get a clear gRPC error and leave the daemon
// healthy, run 100 times over against one live daemon.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';

const rounds = 100;
const { INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, UNIMPLEMENTED } =
  grpc.status;

interface BadRequest {
  readonly name: string;
  readonly codes: readonly grpc.status[];
  send(): Promise<unknown>;
}

const host = await TestHost.provisioned({ log: { level: 'debug', format: 'json' } });
const retired = await addRetiredKek();
// A small young generation, so that garbage not yet collected does not look like growth.
const daemon = await host.serve({ NODE_OPTIONS: '--max-semi-space-size=2' });
const client = new KmsClient(host.socket);
const seed = randomBytes(32);
const good = await client.encrypt(seed);

async function addRetiredKek(): Promise<string> {
  const { stdout } = await host.run('key', 'create', '--json');
  const { fp } = JSON.parse(stdout) as { fp: string };
  const keks = host.ring.keks.map((kek) => (kek.fp === fp ? { ...kek, state: 'retired' } : kek));
  writeFileSync(host.ringPath, JSON.stringify({ ...host.ring, keks }));
  return fp;
}

function decrypt(
  name: string,
  ciphertext: Buffer,
  keyId: string,
  ...codes: grpc.status[]
): BadRequest {
  return { name, codes, send: () => client.decrypt(ciphertext, keyId) };
}

function encrypt(bytes: number, ...codes: grpc.status[]): BadRequest {
  return {
    name: `plaintext of ${bytes} bytes`,
    codes,
    send: () => client.encrypt(Buffer.alloc(bytes, 7)),
  };
}

function flipped(at: number): Buffer {
  const copy = Buffer.from(good.ciphertext);
  copy.writeUInt8(copy.readUInt8(at) ^ 0x10, at);
  return copy;
}

function keyIdRequests(): BadRequest[] {
  const { ciphertext, keyId } = good;
  const [, ring = '', generation = '', fp = ''] = keyId.split('.');
  const unknown = Buffer.concat([
    ciphertext.subarray(0, 4),
    Buffer.alloc(16, 9),
    ciphertext.subarray(20),
  ]);
  const other = Buffer.concat([
    ciphertext.subarray(0, 4),
    Buffer.from(retired, 'hex'),
    ciphertext.subarray(20),
  ]);
  return [
    decrypt('unknown KEK', unknown, `k1.${ring}.1.${'09'.repeat(16)}`, NOT_FOUND),
    decrypt('key id of another ring', ciphertext, `k1.foreign.1.${fp}`, FAILED_PRECONDITION),
    decrypt('retired KEK', other, `k1.${ring}.1.${retired}`, FAILED_PRECONDITION),
    decrypt('ciphertext of another KEK', other, keyId, INVALID_ARGUMENT),
    decrypt(
      'another generation than sealed',
      ciphertext,
      `k1.${ring}.${generation}0.${fp}`,
      INVALID_ARGUMENT,
    ),
    ...[
      '',
      'x',
      'k1',
      `k2.${ring}.1.${fp}`,
      `${keyId} `,
      `${keyId}\0`,
      keyId.toUpperCase(),
      'k'.repeat(5000),
    ].map((bad) =>
      decrypt(
        `malformed key id ${JSON.stringify(bad.slice(0, 20))}`,
        ciphertext,
        bad,
        INVALID_ARGUMENT,
      ),
    ),
  ];
}

function ciphertextRequests(): BadRequest[] {
  const { ciphertext, keyId } = good;
  const sized = [0, 1, 19, 20, 48, 1024].map((bytes) =>
    decrypt(`ciphertext of ${bytes} random bytes`, randomBytes(bytes), keyId, INVALID_ARGUMENT),
  );
  const flips = [0, 2, 3, 4, 19, 20, 31, 32, 63, 64, 79].map((at) =>
    decrypt(`bit flipped in byte ${at}`, flipped(at), keyId, INVALID_ARGUMENT),
  );
  return [
    ...sized,
    ...flips,
    decrypt('cut by one byte', ciphertext.subarray(0, 79), keyId, INVALID_ARGUMENT),
    decrypt(
      'one byte longer',
      Buffer.concat([ciphertext, Buffer.alloc(1)]),
      keyId,
      INVALID_ARGUMENT,
    ),
    decrypt('64 KiB', Buffer.alloc(65_536), keyId, INVALID_ARGUMENT, RESOURCE_EXHAUSTED),
    decrypt('5 MiB', Buffer.alloc(5 << 20), keyId, RESOURCE_EXHAUSTED),
    {
      name: 'annotations that kleidi never issued',
      codes: [INVALID_ARGUMENT],
      send: () => client.decrypt(ciphertext, keyId, { 'x.example.com': Buffer.from('1') }),
    },
  ];
}

function unknownMethod(): BadRequest {
  const raw = (value: Buffer): Buffer => value;
  return {
    name: 'unknown method',
    codes: [UNIMPLEMENTED],
    send: () =>
      new Promise((resolve, reject) => {
        const done = (error: grpc.ServiceError | null, value?: Buffer): void =>
          error === null ? resolve(value) : reject(error);
        client.grpc.makeUnaryRequest(
          '/v2.KeyManagementService/Destroy',
          raw,
          raw,
          Buffer.alloc(0),
          done,
        );
      }),
  };
}

/** Bytes that are no gRPC: the connection may be closed, the daemon may not mind. */
function rawBytes(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(host.socket, () => socket.write(bytes));
    socket.on('error', () => undefined);
    socket.setTimeout(100, () => socket.destroy());
    socket.on('data', () => undefined);
    socket.on('close', () => resolve());
  });
}

async function expectRefusal({ name, codes, send }: BadRequest): Promise<void> {
  const error = await send().then(
    () => assert.fail(`${name}: was answered`),
    (thrown: grpc.ServiceError) => thrown,
  );
  assert.ok(codes.includes(error.code), `${name}: code ${error.code} (${error.details})`);
  assert.ok(error.details.length > 10, `${name}: no clear text`);
  assert.doesNotMatch(error.details, /\/tmp|\/state\/|undefined/, `${name}: ${error.details}`);
}

/** A client that dies in the middle of a call. */
async function dieMidCall(): Promise<void> {
  const dying = new KmsClient(host.socket);
  const calls = [dying.encrypt(seed), dying.decrypt(good.ciphertext, good.keyId)];
  setImmediate(() => dying.close());
  await Promise.allSettled(calls);
}

function rssMiB(): number {
  const [, kib = '0'] =
    /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

async function oneRound(requests: readonly BadRequest[]): Promise<void> {
  await Promise.all(requests.map(expectRefusal));
  await rawBytes(Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'));
  await rawBytes(randomBytes(300));
  await rawBytes(Buffer.from(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\xff'.repeat(64)}`, 'latin1'));
  await dieMidCall();
}

test('every bad request is refused 100 times over and the daemon stays healthy', async (t) => {
  const requests = [
    ...[0, 901, 1024, 60_000].map((bytes) => encrypt(bytes, INVALID_ARGUMENT)),
    encrypt(65_536, INVALID_ARGUMENT, RESOURCE_EXHAUSTED),
    encrypt(5 << 20, RESOURCE_EXHAUSTED),
    ...keyIdRequests(),
    ...ciphertextRequests(),
    unknownMethod(),
  ];
  // Good requests and one round first: what any client costs is not growth.
  for (let i = 0; i < 5000; i += 1) await client.decrypt(good.ciphertext, good.keyId);
  for (let round = 0; round < 10; round += 1) await oneRound(requests);
  const beforeMiB = rssMiB();
  for (let round = 0; round < rounds; round += 1) await oneRound(requests);
  const grownMiB = rssMiB() - beforeMiB;
  t.diagnostic(
    `${requests.length} bad requests, ${rounds} rounds, memory grown by ${grownMiB.toFixed(1)} MiB`,
  );
  assert.ok(grownMiB < 20, `memory has grown by ${grownMiB} MiB`);
  assert.equal((await client.status()).healthz, 'ok');
  assert.deepEqual(await client.decrypt(good.ciphertext, good.keyId), seed);
});

test('the one-byte plaintext and the longest one are served', async () => {
  for (const bytes of [1, 900]) {
    const plaintext = randomBytes(bytes);
    const { ciphertext, keyId } = await client.encrypt(plaintext);
    assert.deepEqual(await client.decrypt(ciphertext, keyId), plaintext);
  }
});

test('1,000 connections that say nothing keep nobody out for long', async () => {
  const silent = Array.from({ length: 1000 }, () =>
    connect(host.socket).on('error', () => undefined),
  );
  await sleep(6_000);
  const late = new KmsClient(host.socket);
  assert.deepEqual(await late.decrypt(good.ciphertext, good.keyId), seed);
  for (const socket of silent) socket.destroy();
  assert.equal((await client.status()).healthz, 'ok');
});

test('the log of all this holds no secret', () => {
  const log = JSON.stringify(daemon.lines);
  const secrets = [
    host.pin,
    seed.toString('hex'),
    seed.toString('base64'),
    good.ciphertext.toString('base64'),
  ];
  for (const secret of secrets) assert.ok(!log.includes(secret));
  assert.match(log, /"call-failed"/, 'refusals are logged');
  const internal = daemon.lines.filter((line) => line['code'] === 'internal');
  assert.deepEqual(internal, []);
});
