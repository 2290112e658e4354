// The rules of gRPC on the wire (doc/PROTOCOL-HTTP2.md of grpc/grpc), asked of both that carry
// calls by a bare HTTP/2 client: what is no gRPC, what is broken, what comes too late. Where
// grpc-js is less strict, the table says so. After each the daemon answers as before.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';

const statusPath = '/v2.KeyManagementService/Status';
const encryptPath = '/v2.KeyManagementService/Encrypt';
const maxMessageBytes = 64 * 1024;

const usual = {
  ':method': 'POST',
  ':path': statusPath,
  ':authority': 'localhost',
  'content-type': 'application/grpc',
  te: 'trailers',
};

interface Ended {
  readonly httpStatus: number;
  /** Of gRPC; undefined where there is none. */
  readonly code: number | undefined;
  readonly details: string;
  readonly rstCode: number;
  readonly body: Buffer;
}

interface Wrong {
  readonly name: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
  /** A status of HTTP from 200 on, else one of gRPC. */
  readonly fast: number;
  /** Where it is another. */
  readonly library?: number;
}

function framed(message: Buffer, { flag = 0, length = message.length } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

const empty = framed(Buffer.alloc(0));
/** plaintext = 1 */
const encryptRequest = framed(Buffer.from('0a03616263', 'hex'));

const wrongs: readonly Wrong[] = [
  { name: 'a PUT', headers: { ':method': 'PUT' }, fast: 405, library: 0 },
  { name: 'JSON', headers: { 'content-type': 'application/json' }, fast: 415 },
  { name: 'grpc-web', headers: { 'content-type': 'application/grpc-web' }, fast: 415, library: 0 },
  { name: 'another method', headers: { ':path': '/v2.KeyManagementService/Destroy' }, fast: 12 },
  { name: 'a method with 100%', headers: { ':path': '/100%/' }, fast: 12 },
  { name: 'gzip', headers: { 'grpc-encoding': 'gzip' }, fast: 12, library: 0 },
  { name: 'compressed and not', body: framed(Buffer.alloc(3), { flag: 1 }), fast: 13 },
  { name: 'no unit in the timeout', headers: { 'grpc-timeout': '5' }, fast: 13 },
  {
    name: 'a timeout of nine digits',
    headers: { 'grpc-timeout': '123456789S' },
    fast: 13,
    library: 0,
  },
  { name: 'a negative timeout', headers: { 'grpc-timeout': '-1S' }, fast: 13, library: 0 },
  {
    name: 'a timeout of zero',
    headers: { 'grpc-timeout': '0n', ':path': encryptPath },
    body: encryptRequest,
    fast: 4,
  },
  { name: 'no message', body: Buffer.alloc(0), fast: 12 },
  { name: 'half a prefix', body: Buffer.alloc(3), fast: 13, library: 12 },
  {
    name: 'less than the prefix says',
    body: framed(Buffer.alloc(3), { length: 4 }),
    fast: 13,
    library: 12,
  },
  { name: 'two messages', body: Buffer.concat([empty, empty]), fast: 12 },
  { name: '4 GiB announced', body: framed(Buffer.alloc(3), { length: 0xffffffff }), fast: 8 },
  { name: 'one byte too much', body: framed(Buffer.alloc(maxMessageBytes + 1)), fast: 8 },
  {
    name: 'no protobuf',
    headers: { ':path': encryptPath },
    body: framed(Buffer.from([0x0a, 0x7f])),
    fast: 13,
  },
];

async function served(grpc: 'fast' | 'library') {
  const host = await TestHost.provisioned({ grpc });
  const daemon = await host.serve();
  return { grpc, host, daemon, client: new KmsClient(host.socket), session: open(host.socket) };
}

// Both before the first test: the runner does not wait for what comes between tests.
for (const { grpc, host, daemon, client, session } of [
  await served('fast'),
  await served('library'),
]) {
  for (const wrong of wrongs) {
    test(`${grpc}: ${wrong.name}`, async () => {
      const due = (grpc === 'library' ? wrong.library : undefined) ?? wrong.fast;
      const { httpStatus, code, details, rstCode } = await ask(
        session,
        wrong.headers,
        wrong.body ?? empty,
      );
      assert.equal(due >= 200 ? httpStatus : code, due, details);
      assert.equal(rstCode, constants.NGHTTP2_NO_ERROR);
      assert.equal((await client.status()).healthz, 'ok');
    });
  }

  test(`${grpc}: a good call, whole and byte by byte`, async () => {
    const whole = await ask(session, {}, empty);
    assert.equal(whole.code, status.OK);
    assert.equal(whole.body.readUInt32BE(1), whole.body.length - 5);
    const parts = [...encryptRequest].map((byte) => Buffer.from([byte]));
    const { code, body } = await ask(session, { ':path': encryptPath }, ...parts);
    assert.equal(code, status.OK);
    assert.ok(body.length > 5);
  });

  test(`${grpc}: a request that never ends gets its deadline`, async () => {
    const stream = session.request({ ...usual, 'grpc-timeout': '200m' });
    stream.write(empty.subarray(0, 2));
    const { code } = await ended(stream);
    assert.equal(code, status.DEADLINE_EXCEEDED);
  });

  test(`${grpc}: calls that are cancelled at any point leave the connection whole`, async () => {
    for (const bytes of [0, 3, encryptRequest.length]) {
      const stream = session.request({ ...usual, ':path': encryptPath });
      stream.on('error', () => undefined);
      stream.write(encryptRequest.subarray(0, bytes));
      if (bytes === encryptRequest.length) stream.end();
      stream.close(constants.NGHTTP2_CANCEL);
      await once(stream, 'close');
    }
    assert.equal((await ask(session, {}, empty)).code, status.OK);
  });

  test(`${grpc}: what is no HTTP/2 loses its own connection`, async () => {
    for (const bytes of [
      'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxx',
    ]) {
      const socket = connectSocket(host.socket);
      socket.on('error', () => undefined).resume();
      socket.write(bytes.repeat(3));
      await once(socket, 'close');
    }
    assert.equal((await ask(session, {}, empty)).code, status.OK);
  });

  test(`${grpc}: asked to stop, it says GOAWAY and answers what it has begun`, async () => {
    const stream = session.request({ ...usual, ':path': encryptPath });
    const goaway = once(session, 'goaway');
    stream.write(encryptRequest);
    await sleep(100);
    daemon.signal('SIGTERM');
    const [code] = (await goaway) as [number];
    assert.equal(code, constants.NGHTTP2_NO_ERROR);
    stream.end();
    assert.equal((await ended(stream)).code, status.OK);
  });
}

function open(socket: string): ClientHttp2Session {
  const session = connect('http://localhost', { createConnection: () => connectSocket(socket) });
  session.on('error', () => undefined);
  after(() => session.destroy());
  return session;
}

async function ask(
  session: ClientHttp2Session,
  headers: Record<string, string> = {},
  ...parts: Buffer[]
): Promise<Ended> {
  const stream = session.request({ ...usual, ...headers });
  const end = ended(stream);
  for (const part of parts.filter(({ length }) => length > 0)) {
    stream.write(part);
    if (parts.length > 1) await sleep(1);
  }
  stream.end();
  return end;
}

/** How a call ended: status from the trailers, or from the headers where there is no body. */
async function ended(stream: ClientHttp2Stream): Promise<Ended> {
  const parts: Buffer[] = [];
  let all: IncomingHttpHeaders = {};
  const take = (headers: IncomingHttpHeaders): void => {
    all = { ...all, ...headers };
  };
  stream.on('response', take).on('trailers', take);
  stream.on('data', (part: Buffer) => parts.push(part));
  stream.on('error', () => undefined);
  // A server need not close what the client has not ended.
  await Promise.race([once(stream, 'end'), once(stream, 'close')]);
  const code = all['grpc-status'];
  return {
    httpStatus: Number(all[':status']),
    code: code === undefined ? undefined : Number(code),
    details: String(all['grpc-message'] ?? ''),
    rstCode: stream.rstCode,
    body: Buffer.concat(parts),
  };
}
