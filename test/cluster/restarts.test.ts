// What is sealed is read back after every order in which daemon, etcd and API server
// may come up, and after the whole host has booted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from '../support/cluster.ts';
import { onCluster } from '../support/clusterbinaries.ts';

const services = ['kleidi', 'etcd', 'kube-apiserver'] as const;
const orders = services.flatMap((first) =>
  services
    .filter((name) => name !== first)
    .map((second) => [first, second, ...services.filter((n) => n !== first && n !== second)]),
);
const text = 'sealed-before-the-restart';

await onCluster(async (binaries) => {
  const cluster = await Cluster.sealing(binaries);
  const { api } = cluster;
  await api.createSecret(0, 'kept', text);
  let made = 0;

  /** It reads what was sealed, and what it seals now another one reads. */
  async function serves(index: number): Promise<void> {
    await api.ready(index);
    assert.equal(await api.get(index, '/readyz/kms-providers'), 'ok');
    assert.equal(await api.secret(index, 'kept'), text);
    const name = `new-${made++}`;
    await api.createSecret(index, name, text);
    assert.ok(cluster.isSealed(index, name));
    assert.equal(await api.secret((index + 1) % 3, name), text);
  }

  for (const [turn, order] of orders.entries()) {
    const index = turn % 3;
    test(`all three stopped, then started: ${order.join(', ')}`, async () => {
      const host = cluster.host(index);
      host.sh('systemctl stop kube-apiserver etcd kleidi.socket kleidi');
      for (const name of order) {
        host.sh(`systemctl start --no-block ${name}`);
        await sleep(1_000);
      }
      await serves(index);
    });
  }

  for (const name of services) {
    test(`${name} killed: the host serves again`, async () => {
      const host = cluster.host(1);
      const pid = host.sh(`systemctl show -p MainPID --value ${name}`);
      host.sh(`systemctl kill -s KILL --kill-whom=main ${name}`);
      await host.until(
        `systemctl is-active ${name} && [ "$(systemctl show -p MainPID --value ${name})" != ${pid} ]`,
        240_000,
      );
      await serves(1);
    });
  }

  for (const [how, index] of [
    ['an orderly reboot', 1],
    ['a power cut', 2],
  ] as const) {
    test(`${how} of the whole host: the socket is there first, the API server is ready without a restart`, async () => {
      const host = cluster.host(index);
      if (how === 'a power cut') await host.powerOff();
      else await host.stop();
      await host.start();
      await serves(index);
      const property = (unit: string, name: string): number =>
        Number(host.sh(`systemctl show -p ${name} --value ${unit}`));
      const socketUs = property('kleidi.socket', 'ActiveEnterTimestampMonotonic');
      const serverUs = property('kube-apiserver', 'ExecMainStartTimestampMonotonic');
      assert.ok(socketUs > 0 && socketUs <= serverUs, `${socketUs} ${serverUs}`);
      assert.equal(property('kube-apiserver', 'NRestarts'), 0);
    });
  }
});
