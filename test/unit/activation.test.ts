// What a process makes of the sockets that systemd says to have handed over.
// Where file descriptors matter, it is a child that really inherits them.
import assert from 'node:assert/strict';
import { type StdioOptions, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inheritedFd } from '../../src/host/systemd.ts';

const module = fileURLToPath(new URL('../../src/host/systemd.ts', import.meta.url));
const script = `
import { inheritedFd } from ${JSON.stringify(module)};
const env = { ...JSON.parse(process.argv[1]), LISTEN_PID: String(process.pid) };
const answer = () => {
  try {
    return inheritedFd(env, process.pid) ?? 'none';
  } catch (error) {
    return error.code;
  }
};
process.stdout.write(JSON.stringify([answer(), Object.keys(env)]));`;

/** In a child that inherits these as fd 3 and up: a 'pipe' of Node is a socket. */
function handOver(env: NodeJS.ProcessEnv, ...fds: ('pipe' | 'ignore')[]): unknown {
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit', ...fds];
  const args = ['--input-type=module', '--eval', script, '--', JSON.stringify(env)];
  const { stdout } = spawnSync(process.execPath, args, { stdio, encoding: 'utf8' });
  const [answer, left] = JSON.parse(stdout) as [unknown, string[]];
  assert.deepEqual(left, ['OTHER'], 'the variables must not reach a child of ours');
  return answer;
}

const other = { OTHER: 'stays' };

test('one socket is taken, whatever its name', () => {
  assert.equal(handOver({ ...other, LISTEN_FDS: '1' }, 'pipe'), 3);
  for (const LISTEN_FDNAMES of ['kms', 'unknown', '']) {
    assert.equal(handOver({ ...other, LISTEN_FDS: '1', LISTEN_FDNAMES }, 'pipe'), 3);
  }
});

test('of several sockets the one named kms is taken', () => {
  const env = { ...other, LISTEN_FDS: '2', LISTEN_FDNAMES: 'other:kms' };
  assert.equal(handOver(env, 'pipe', 'pipe'), 4);
  assert.equal(handOver({ ...env, LISTEN_FDNAMES: 'kms:other' }, 'pipe', 'pipe'), 3);
});

test('of several sockets none is guessed', () => {
  for (const names of [{}, { LISTEN_FDNAMES: 'a:b' }, { LISTEN_FDNAMES: 'a:b:kms' }]) {
    const env = { ...other, LISTEN_FDS: '2', ...names };
    assert.equal(handOver(env, 'pipe', 'pipe', 'pipe'), 'socket-unusable');
  }
});

test('a name beyond the sockets that were handed over names nothing', () => {
  const env = { ...other, LISTEN_FDS: '1', LISTEN_FDNAMES: 'x:kms' };
  assert.equal(handOver(env, 'pipe', 'pipe'), 3);
});

test('what is no socket is refused', () => {
  assert.equal(handOver({ ...other, LISTEN_FDS: '1' }, 'ignore'), 'socket-unusable');
  assert.equal(handOver({ ...other, LISTEN_FDS: '1' }), 'socket-unusable');
});

test('where no socket was handed over there is none', () => {
  for (const LISTEN_FDS of ['0', '-1', '', 'garbage', '1.5', '1 2', 'Infinity']) {
    assert.equal(handOver({ ...other, LISTEN_FDS }, 'pipe'), 'none', LISTEN_FDS);
  }
  assert.equal(handOver(other, 'pipe'), 'none');
});

test('a socket for another process is left alone, and the variables go all the same', () => {
  for (const LISTEN_PID of ['1', '', 'garbage', `${process.pid}0`, undefined]) {
    const env = { ...other, LISTEN_PID, LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' };
    assert.equal(inheritedFd(env, process.pid), undefined);
    assert.deepEqual(env, other);
  }
});

test('the variables go also where the socket is refused', () => {
  const env = { ...other, LISTEN_PID: '77', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' };
  assert.throws(() => inheritedFd(env, 77), { code: 'socket-unusable' });
  assert.deepEqual(env, other);
});
