// Who calls a daemon, as `kleidi status` tells it: connections open now that have
// called KMS v2, and the time of the last call. kleidi's own commands do not count.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';

interface Callers {
  readonly clients: number;
  readonly lastCallUnixMs: number;
}

async function callersOf(host: TestHost): Promise<Callers> {
  const { stdout } = await host.run('status', '--json');
  const { clients, lastCallUnixMs } = JSON.parse(stdout) as Callers;
  return { clients, lastCallUnixMs };
}

/** Closing takes a turn of both sides. */
async function untilClients(host: TestHost, count: number): Promise<Callers> {
  for (;;) {
    const found = await callersOf(host);
    if (found.clients === count) return found;
  }
}

const host = await TestHost.provisioned();
let daemon = await host.serve();

test('status, doctor and a connection without a call are no callers', async () => {
  const silent = connect(host.socket);
  await once(silent, 'connect');
  await host.run('status');
  await host.run('doctor', '--only', 'socket');
  await host.run('ring', 'digest', '--live');
  assert.deepEqual(await callersOf(host), { clients: 0, lastCallUnixMs: 0 });
  silent.destroy();
});

test('each call of KMS v2 counts; the time stays when its connection goes', async () => {
  const startMs = Date.now();
  const [one, other] = [new KmsClient(host.socket), new KmsClient(host.socket)];
  await one.status();
  await other.encrypt(Buffer.alloc(32));
  const both = await callersOf(host);
  assert.equal(both.clients, 2);
  assert.ok(both.lastCallUnixMs >= startMs && both.lastCallUnixMs <= Date.now());
  assert.match((await host.run('status')).stdout, /last call: \d{4}-.*, clients connected: 2/);
  one.close();
  other.close();
  const after = await untilClients(host, 0);
  assert.equal(after.lastCallUnixMs, both.lastCallUnixMs);
});

test('a refused call counts too: its client wants to read something', async () => {
  const before = await callersOf(host);
  const client = new KmsClient(host.socket);
  await assert.rejects(client.decrypt(Buffer.from('none'), 'none'));
  const { clients, lastCallUnixMs } = await callersOf(host);
  assert.equal(clients, 1);
  assert.ok(lastCallUnixMs >= before.lastCallUnixMs);
  client.close();
});

test('a daemon that is started anew has heard nobody', async () => {
  await daemon.stop();
  daemon = await host.serve();
  assert.deepEqual(await callersOf(host), { clients: 0, lastCallUnixMs: 0 });
  assert.match((await host.run('status')).stdout, /last call: not yet, clients connected: 0/);
});
