// Three booted hosts that a real Prometheus scrapes through a rotation, the outage of one and
// a damaged token: the alerts that should fire do, no others do, and each query of the board
// has data.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { boardPanels, filledQuery } from '../support/board.ts';
import { createOnAll, promoteLike, promoteOnFirst } from '../support/clusterceremony.ts';
import { clientOf } from '../support/installed.ts';
import { damageToken, MonitoredFleet } from '../support/monitoredfleet.ts';
import { missingTool } from '../support/skip.ts';
import { onHosts } from '../support/systemhost.ts';

const skip = missingTool('prometheus');
/** What is there only while something fails; each is seen in the test of what fails. */
const emptyWhileWell = ['Calls that fail, a second'];

async function onFleet(): Promise<void> {
  const fleet = await MonitoredFleet.boot('verifier:\n  intervalMs: 2000\n');
  const [first, second, third] = fleet.hosts;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  const call = async (): Promise<void> => {
    for (const host of fleet.hosts) {
      const client = clientOf(host);
      for (let i = 0; i < 20; i += 1) {
        const { ciphertext, keyId } = await client.encrypt(Buffer.alloc(32, i));
        await client.decrypt(ciphertext, keyId);
      }
      client.close();
    }
  };

  test('three hosts that are well: no alert fires', async () => {
    await fleet.untilFiring([]);
    assert.equal(fleet.query('kleidi_serving == 1').length, 3);
    assert.equal(fleet.query('count(count by (digest) (kleidi_ring_info))')[0]?.value[1], '1');
  });

  test('a rotation: hosts disagree until the last has promoted, and nothing else fires', async () => {
    const { fp } = createOnAll(fleet.ceremony);
    const promoted = promoteOnFirst(first, fp);
    for (const each of [second, third]) await each.until('kleidi status');
    const disagree = ['KleidiHostsDisagreeOnKeyId', 'KleidiHostsDisagreeOnRing'];
    await fleet.untilFiring(disagree);
    promoteLike(second, fp, promoted);
    await fleet.untilFiring(disagree);
    promoteLike(third, fp, promoted);
    await fleet.untilFiring([]);
    const hashes = fleet.query('count by (key_id_hash) (kleidi_ring_info)');
    assert.deepEqual(
      hashes.map(({ metric }) => metric['key_id_hash']),
      [promoted.keyIdHash],
    );
  });

  test('each query of the board has data', async () => {
    await call();
    await fleet.until('sum(increase(kleidi_calls_total{rpc="Decrypt"}[30s])) > 0', (found) => {
      return found.length > 0;
    });
    for (const { title, targets } of boardPanels()) {
      if (emptyWhileWell.includes(title)) continue;
      for (const { expr } of targets) {
        const found = fleet.query(filledQuery(expr));
        assert.ok(found.length > 0, `${title}: ${expr}`);
      }
    }
  });

  test('the board names hosts, rings and key ids as they are', () => {
    const table = boardPanels().find(({ title }) => title === 'Hosts');
    const rows = table?.targets.map(({ expr }) => fleet.query(filledQuery(expr)).length);
    assert.deepEqual(rows, [3, 3, 3, 3, 3, 3, 3]);
    const stats = boardPanels().slice(0, 5);
    const values = stats.map(({ targets }) => fleet.query(filledQuery(targets[0]?.expr ?? ''))[0]);
    assert.deepEqual(
      values.map((each) => each?.value[1]),
      ['0', '1', '1', '0', '0'],
    );
  });

  test('calls that fail are on the board, by their code', async () => {
    const client = clientOf(first);
    for (let i = 0; i < 2; i += 1) await assert.rejects(client.decrypt(Buffer.alloc(64), 'none'));
    client.close();
    const shown = boardPanels().find(({ title }) => emptyWhileWell.includes(title));
    await fleet.until(filledQuery(shown?.targets[0]?.expr ?? ''), (found) =>
      found.some(({ metric, value }) => metric['rpc'] === 'Decrypt' && Number(value[1]) > 0),
    );
  });

  test('a damaged token: the host that has it, before any restart', async () => {
    const undo = damageToken(first);
    await fleet.untilFiring(['KleidiTokenDamaged of host 0']);
    assert.equal(fleet.query('kleidi_serving == 1').length, 3);
    undo();
    await fleet.untilFiring([]);
  });

  test('an outage: the host that is away, and the board counts it', async () => {
    await third.powerOff();
    await fleet.untilFiring(['KleidiDown of host 2']);
    const shown = boardPanels()[0]?.targets[0]?.expr ?? '';
    assert.equal(fleet.query(filledQuery(shown))[0]?.value[1], '1');
    await third.start();
    await third.until('kleidi status');
    await fleet.untilFiring([]);
  });
}

await onHosts(async () => {
  if (skip === false) return onFleet();
  test('a fleet', { skip }, () => undefined);
});
