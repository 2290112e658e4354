// The README's first command: provisions a token in a throw-away folder, starts
// the daemon, seals and opens one secret through the socket, shows it, and keeps
// serving until Ctrl-C. With input that is not a terminal it ends by itself.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';

const root = new URL('..', import.meta.url);
const program = fileURLToPath(new URL('dist/kleidi.js', root));
const folder = mkdtempSync(join(tmpdir(), 'kleidi-demo-'));
const config = join(folder, 'kleidi.yaml');
const socket = join(folder, 'kms.sock');

function say(text: string): void {
  process.stdout.write(`demo: ${text}\n`);
}

function configure(): void {
  mkdirSync(join(folder, 'run'));
  writeFileSync(
    config,
    `ring: ${folder}/state/ring.json
socket: ${socket}
runtimeDir: ${folder}/run
encryptionConfig: ${folder}/encryption-config.yaml
log: { format: pretty }
pkcs11:
  pin: file:${folder}/pin
  soPin: file:${folder}/so-pin
  softhsmConf: ${folder}/softhsm2.conf
`,
  );
}

function runVerb(...args: string[]): void {
  say(`kleidi ${args.join(' ')}`);
  const command = [program, ...args, '--config', config];
  const { status } = spawnSync(process.execPath, command, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`kleidi ${args[0]} ended with ${status}`);
}

function call<T>(client: grpc.Client, method: grpc.MethodDefinition<object, T>, request: object) {
  return new Promise<T>((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = method;
    const metadata = new grpc.Metadata({ waitForReady: true });
    const options = { deadline: Date.now() + 10_000 };
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
      (error, response) =>
        error === null && response !== undefined ? resolve(response) : reject(error),
    );
  });
}

/** Speaks only the public proto, as kube-apiserver does. */
async function roundTrip(): Promise<void> {
  const proto = fileURLToPath(new URL('proto/kms/v2/api.proto', root));
  const kms = protoLoader.loadSync(proto, { defaults: true })['v2.KeyManagementService'];
  const methods = kms as unknown as {
    Encrypt: grpc.MethodDefinition<object, { ciphertext: Buffer; keyId: string }>;
    Decrypt: grpc.MethodDefinition<object, { plaintext: Buffer }>;
  };
  const client = new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure());
  const seed = randomBytes(32);
  const { ciphertext, keyId } = await call(client, methods.Encrypt, {
    plaintext: seed,
    uid: 'demo',
  });
  say(`Encrypt: 32 bytes in, ${ciphertext.length} out, under ${keyId}`);
  const { plaintext } = await call(client, methods.Decrypt, { ciphertext, keyId, uid: 'demo' });
  if (!plaintext.equals(seed)) throw new Error('Decrypt gave other bytes back');
  say('Decrypt: the same 32 bytes came back');
  client.close();
}

/** Ctrl-C reaches the daemon too; it drains and ends by itself. */
async function serveUntilCtrlC(daemon: ChildProcess, ended: Promise<unknown>): Promise<void> {
  process.on('SIGINT', () => undefined);
  // A terminal that is closed is an end, too: the folder goes either way.
  for (const name of ['SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => daemon.kill('SIGTERM'));
  }
  if (process.stdin.isTTY) say(`serving on ${socket} until Ctrl-C`);
  else daemon.kill('SIGTERM');
  await ended;
}

try {
  configure();
  runVerb('provision', '--ring', 'demo');
  say(`kleidi serve --config ${config}`);
  const command = [program, 'serve', '--config', config];
  const daemon = spawn(process.execPath, command, { stdio: 'inherit' });
  const ended = new Promise<number | null>((resolve) => daemon.once('exit', resolve));
  await roundTrip();
  runVerb('status');
  await serveUntilCtrlC(daemon, ended);
  const exitCode = await ended;
  say(exitCode === 0 ? 'verdict: good' : `verdict: NOT good, the daemon ended with ${exitCode}`);
  process.exitCode = exitCode === 0 ? 0 : 1;
} catch (error) {
  say(`verdict: NOT good: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
