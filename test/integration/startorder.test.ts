// The order of the daemon's start, as the built program keeps it: the thread that opens
// the token begins first, gRPC is loaded while the token is opened, and nothing listens
// before the first attempt has ended. By order alone, not by time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { program } from '../support/kleidi.ts';

/** Writes a line to the file of its first argument for each step of the start. */
function spy(file: string): string {
  return `
const { appendFileSync } = require('node:fs');
const fs = require('node:fs');
const step = (name) => appendFileSync(${JSON.stringify(file)}, name + '\\n');
const threads = require('node:worker_threads');
if (threads.isMainThread) {
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(...given) { super(...given); step('thread'); }
    postMessage(message, ...rest) { step('call ' + message.step); super.postMessage(message, ...rest); }
    terminate() { step('thread ended'); return super.terminate(); }
  };
  const { readFileSync } = fs;
  fs.readFileSync = (path, ...rest) => {
    if (String(path).endsWith('kleidi.yaml')) step('configuration');
    return readFileSync(path, ...rest);
  };
  const { _load } = require('node:module');
  const { Server } = require('node:net');
  require('node:module')._load = (name, ...rest) => {
    // What carries calls is the first that needs it.
    if (name === 'node:timers/promises') step('gRPC');
    return _load(name, ...rest);
  };
  const { listen } = Server.prototype;
  Server.prototype.listen = function (...given) { step('listen'); return listen.apply(this, given); };
}
`;
}

/** @returns the steps up to `serving` or `not serving`, and to the end of the process */
async function start(configPath: string, socket: string): Promise<string[]> {
  const folder = temporaryFolder();
  const [steps, preload] = [join(folder, 'steps'), join(folder, 'spy.cjs')];
  writeFileSync(steps, '');
  writeFileSync(preload, spy(steps));
  const args = ['-r', preload, program, 'serve', '--config', configPath, '--socket', socket];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  let text = '';
  for await (const part of child.stdout) {
    text += String(part);
    if (text.includes('"listening"') && child.exitCode === null) child.kill('SIGTERM');
  }
  await ended;
  return readFileSync(steps, 'utf8').trimEnd().split('\n');
}

function assertOrder(steps: readonly string[], ...wanted: readonly string[]): void {
  const places = wanted.map((step) => steps.indexOf(step));
  assert.ok(!places.includes(-1), `${wanted} in ${steps}`);
  assert.deepEqual(
    [...places].sort((a, b) => a - b),
    places,
    `${wanted} in ${steps}`,
  );
}

const host = await TestHost.provisioned();

test('the thread begins before the configuration is read, and opens the token before gRPC is loaded', async () => {
  const steps = await start(host.configPath, host.socket);
  assertOrder(steps, 'thread', 'configuration', 'call initialize', 'gRPC', 'listen');
});

test('nothing listens before the KEKs are loaded', async () => {
  const steps = await start(host.configPath, host.socket);
  assertOrder(steps, 'call login', 'call find', 'call isFast', 'listen');
});

test('nor before the first attempt has failed', async () => {
  const text = readFileSync(host.configPath, 'utf8');
  const config = text.replace(/^pkcs11:$/m, 'pkcs11:\n  module: /missing.so');
  assert.notEqual(config, text);
  const path = join(temporaryFolder(), 'kleidi.yaml');
  writeFileSync(path, config);
  const steps = await start(path, host.socket);
  assertOrder(steps, 'thread', 'call initialize', 'listen');
  assert.ok(!steps.includes('call login'), `${steps}`);
});

test('with Vault the thread is ended, unused', async () => {
  const path = join(temporaryFolder(), 'kleidi.yaml');
  const vault = `${readFileSync(host.configPath, 'utf8')}\nvault: { address: ["https://127.0.0.1:1"] }\n`;
  writeFileSync(path, vault);
  const steps = await start(path, host.socket);
  assertOrder(steps, 'thread', 'configuration', 'thread ended', 'gRPC');
});

test('a configuration that is not valid ends the process, thread or not', async () => {
  const path = join(temporaryFolder(), 'kleidi.yaml');
  writeFileSync(path, 'nonsense: 1\n');
  const steps = await start(path, host.socket);
  assert.deepEqual(steps, ['thread', 'configuration']);
});
