// Where the daemon listens, what it tells systemd, and where PINs come from.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readSecret } from '../../src/host/credentials.ts';
import { inheritedFd } from '../../src/host/systemd.ts';
import { KmsClient } from '../support/client.ts';
import { Daemon } from '../support/daemon.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';

const host = await TestHost.provisioned();

test('the socket has mode 0660, and is gone after an orderly end', async () => {
  const daemon = await host.serve();
  assert.equal((statSync(host.socket).mode & 0o777).toString(8), '660');
  assert.equal(await daemon.stop(), 0);
  assert.ok(!existsSync(host.socket));
});

test('a live socket is refused, a dead one replaced', async () => {
  const daemon = await host.serve();
  const second = await host.run('serve', '--socket', host.socket);
  assert.equal(second.exitCode, 78);
  assert.match(second.stderr, /is in use by a running process/);
  await new KmsClient(host.socket).status();

  daemon.signal('SIGKILL');
  await daemon.ended;
  assert.ok(lstatSync(host.socket).isSocket(), 'kill -9 leaves it behind');
  const next = await host.serve();
  assert.equal((await new KmsClient(host.socket).status()).healthz, 'ok');
  await next.stop();
});

test('a symbolic link, a file and a too long path are refused and left alone', async () => {
  const folder = temporaryFolder();
  const [link, file] = [join(folder, 'link'), join(folder, 'file')];
  symlinkSync(join(folder, 'target'), link);
  writeFileSync(file, 'precious');
  for (const path of [link, file, `${folder}/${'x'.repeat(100)}`, `${folder}/none/kms.sock`]) {
    const { exitCode, stderr } = await host.run('serve', '--socket', path);
    assert.equal(exitCode, 78, path);
    assert.match(stderr, /kleidi: hint: /);
  }
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(statSync(file).size, 8);
});

test('an fd is taken only where it was handed to this process', () => {
  const given = (env: NodeJS.ProcessEnv): number | undefined => inheritedFd(env, 42);
  assert.equal(given({}), undefined);
  assert.equal(given({ LISTEN_PID: '41', LISTEN_FDS: '1' }), undefined);
  assert.equal(given({ LISTEN_PID: '42', LISTEN_FDS: '0' }), undefined);
  assert.equal(given({ LISTEN_PID: '42', LISTEN_FDS: 'many' }), undefined);
  const env = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' };
  assert.throws(() => given(env), { code: 'socket-unusable' });
  assert.deepEqual(env, {}, 'no child may take it for its own');
});

/** A notify socket as systemd has one; Node knows no datagram sockets of this kind. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True:
    print(s.recv(4096).decode().replace('\\n', ' '), flush=True)
`;

test('systemd is told READY, STATUS, WATCHDOG and STOPPING', async () => {
  const path = join(temporaryFolder(), 'notify');
  const python = spawn('python3', ['-c', receiver, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const told: string[] = [];
  const lines = createInterface({ input: python.stdout });
  lines.on('line', (line) => told.push(line));
  await once(lines, 'line');
  const daemon = await Daemon.start(host.configPath, host.socket, {
    NOTIFY_SOCKET: path,
    WATCHDOG_USEC: '400000',
  });
  await sleep(700);
  assert.equal(await daemon.stop(), 0);
  python.kill();
  const all = told.join('\n');
  assert.match(all, /^READY=1/m);
  assert.match(all, /^STATUS=Serving k1\.test\.1\./m);
  assert.ok(told.filter((line) => line.includes('WATCHDOG=1')).length >= 2);
  assert.match(all, /^STOPPING=1/m);
  assert.ok(all.indexOf('STATUS=Serving') < all.indexOf('READY=1'), 'keys first, then READY');
});

test('a PIN comes from a credential or a private file, and never from an open one', async () => {
  const folder = temporaryFolder();
  const file = join(folder, 'pin');
  const put = (text: string, mode: number): void => {
    rmSync(file, { force: true });
    writeFileSync(file, text, { mode });
  };
  put('s3cret\n', 0o400);
  assert.equal(await readSecret(`file:${file}`, {}), 's3cret');
  assert.equal(await readSecret('credential:pin', { CREDENTIALS_DIRECTORY: folder }), 's3cret');
  put('s3cret', 0o440);
  await assert.rejects(readSecret(`file:${file}`, {}), { code: 'pin-missing', hint: /chmod 0400/ });
  put('\n', 0o400);
  await assert.rejects(readSecret(`file:${file}`, {}), { code: 'pin-missing' });
  rmSync(file);
  await assert.rejects(readSecret(`file:${file}`, {}), { code: 'pin-missing' });
});

test('a daemon under systemd takes its PIN from the credentials folder', async () => {
  const folder = join(host.folder, 'credentials');
  mkdirSync(folder);
  writeFileSync(join(folder, 'pin'), host.pin, { mode: 0o400 });
  host.configure({ pkcs11: { pin: 'credential:pin' } });
  const daemon = await host.serve({ CREDENTIALS_DIRECTORY: folder });
  assert.equal((await new KmsClient(host.socket).status()).healthz, 'ok');
  await daemon.stop();
});

test('a socket of another program is left to it', async () => {
  const path = join(temporaryFolder(), 'other.sock');
  const other = createServer(() => undefined).listen(path);
  await once(other, 'listening');
  assert.equal((await host.run('serve', '--socket', path)).exitCode, 78);
  other.close();
});
