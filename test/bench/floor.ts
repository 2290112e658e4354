// What node:http2 alone costs: every call gets constant bytes; no token is asked, no message is
// parsed, no rule is kept. Nothing that is built on it can be faster.
//
//   node test/bench/floor.ts SOCKET
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { loadContract } from '../../src/kms/contract.ts';

const { kms } = loadContract();
const bytes = Buffer.alloc(80);
const answers = new Map(
  [
    ['Status', { version: 'v2', healthz: 'ok', keyId: 'floor' }],
    ['Encrypt', { ciphertext: bytes, keyId: 'floor' }],
    ['Decrypt', { plaintext: bytes.subarray(0, 32) }],
  ].map(([name, message]) => {
    const method = kms[String(name)];
    if (method === undefined) throw new Error(`no method ${name}`);
    return [method.path, framed(method.responseSerialize(message))] as const;
  }),
);

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const headers = { ':status': 200, 'content-type': 'application/grpc' };
const trailers = { 'grpc-status': '0' };

function answer(stream: ServerHttp2Stream, { ':path': path = '' }: IncomingHttpHeaders): void {
  stream.on('error', () => undefined);
  stream.on('data', () => {
    stream.respond(headers, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end(answers.get(path));
  });
}

createServer().on('stream', answer).listen(process.argv[2]);
