// Three nodes of a real cluster: another leader is elected under load, and a node
// dies. Calls go on within seconds, without a restart and without a wrong answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KleidiError } from '../../src/errors.ts';
import { openTransit } from '../support/transit.ts';
import { onVault, VaultServer } from '../support/vaultserver.ts';

const aad = Buffer.from('aad');
const seed = Buffer.alloc(32, 4);

await onVault(async (first, binary) => {
  const nodes = [
    first,
    await VaultServer.join(binary, first),
    await VaultServer.join(binary, first),
  ];
  await allVote(first);
  const vault = await openTransit(
    nodes.map(({ address }) => address),
    { method: 'token', token: async () => first.rootToken },
    { callTimeoutMs: 2_500 },
  );
  const fp = vault.keks()[0]?.fp ?? '';
  const before = await vault.wrap(fp, seed, aad);

  /** Calls without a pause around `event`; returns what failed, and the longest gap. */
  async function through(
    event: () => Promise<unknown>,
  ): Promise<{ codes: string[]; gapMs: number }> {
    const codes: string[] = [];
    let [gapMs, lastMs] = [0, Date.now()];
    const endMs = Date.now() + 12_000;
    const happened = sleep(500).then(event);
    while (Date.now() < endMs) {
      try {
        assert.deepEqual(await vault.unwrap(fp, await vault.wrap(fp, seed, aad), aad), seed);
        gapMs = Math.max(gapMs, Date.now() - lastMs);
        lastMs = Date.now();
      } catch (error) {
        const { code, message } = KleidiError.from(error);
        codes.push(code === 'vault-failed' ? message : code);
      }
      await sleep(20);
    }
    await happened;
    return { codes: [...new Set(codes)].sort(), gapMs };
  }

  for (const [name, event] of [
    ['another leader is elected', () => first.ask('PUT', 'sys/step-down')],
    ['a node dies', () => first.kill()],
  ] as const) {
    test(name, async (t) => {
      const { codes, gapMs } = await through(event);
      t.diagnostic(
        `longest gap ${gapMs} ms; refused meanwhile by: ${codes.join(', ') || 'nothing'}`,
      );
      assert.ok(
        codes.every((code) => ['vault-sealed', 'vault-unreachable'].includes(code)),
        codes.join(),
      );
      assert.deepEqual(await vault.unwrap(fp, before, aad), seed);
    });
  }

  test('all is closed', () => vault.close());
});

/** A node that has joined may vote only after a while: Vault waits until it is steady. */
async function allVote(server: VaultServer): Promise<void> {
  for (let tries = 0; tries < 2_400; tries += 1) {
    const { data } = await server.ask('GET', 'sys/storage/raft/configuration');
    const { servers } = (data as { config: { servers: { voter: boolean }[] } }).config;
    if (servers.length === 3 && servers.every(({ voter }) => voter)) return;
    await sleep(100);
  }
  assert.fail('not all nodes vote');
}
