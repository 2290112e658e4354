// When a snapshot is a proof, and what is concluded from one for phase only.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireAllSealed, requireNoneSealed } from '../../src/admin/apiserver/guards.ts';
import { KleidiError } from '../../src/errors.ts';
import type { Evidence } from '../../src/snapshot/evidence.ts';
import { type Demand, ProvenSnapshot } from '../../src/snapshot/proof.ts';
import { foreignResource, type Snapshot } from '../../src/snapshot/snapshot.ts';
import type { Seal } from '../../src/snapshot/storedobject.ts';

const uid = '5e1f9a34-0c1d-4c55-8d2b-7b9f3c2a1d00';
const changedUnixMs = Date.parse('2026-03-01T10:00:00Z');
const clear: Seal = { kind: 'clear' };
const sealed: Seal = { kind: 'other', provider: 'kleidi', name: 'a' };

function snapshotOf(
  evidence: Partial<Evidence> = {},
  objects: readonly (readonly [resource: string, seal: Seal])[] = [['namespaces', clear]],
): Snapshot {
  const counts = objects.map(([resource, seal]) => ({
    ...{ resource, seal, live: 1, older: 0 },
    ...{ example: `/registry/${resource}/x`, sample: undefined },
  }));
  const known = { prefix: '/registry', clusterUid: uid, unreadableLeases: 0 };
  const newestLeaseUnixMs = changedUnixMs + 1;
  const all = { ...known, newestLeaseUnixMs, ...evidence };
  return { path: 'a.db', revision: 9, isChecked: true, counts, evidence: all };
}

function outcome(work: () => unknown): string {
  try {
    work();
    return 'proves';
  } catch (error) {
    const { code, hint } = KleidiError.from(error);
    assert.equal(code === 'scan-cannot-tell', hint?.includes('--no-scan'));
    return code;
  }
}

function judge(snapshot: Snapshot, demand: Partial<Demand> = {}, unixMs?: number): string {
  const change = { what: 'it is so', unixMs: unixMs ?? changedUnixMs, howToRecord: 'again' };
  const nowUnixMs = changedUnixMs + 3_600_000;
  return outcome(() =>
    ProvenSnapshot.of(snapshot, { clusterUid: uid, change, nowUnixMs, ...demand }),
  );
}

test('each way in which a snapshot is a proof, none, or cannot be told', () => {
  const cannotTell = 'scan-cannot-tell';
  assert.equal(judge(snapshotOf()), 'proves');
  assert.equal(judge(snapshotOf({ newestLeaseUnixMs: changedUnixMs })), 'refused');
  assert.equal(judge(snapshotOf({}, [])), 'refused');
  assert.equal(judge(snapshotOf({}, [[foreignResource, clear]])), 'refused');
  assert.equal(judge(snapshotOf({ clusterUid: uid.replace('5', '6') })), 'refused');
  assert.equal(judge(snapshotOf({ clusterUid: null })), cannotTell);
  assert.equal(judge(snapshotOf(), { clusterUid: undefined }), cannotTell);
  assert.equal(judge(snapshotOf({ newestLeaseUnixMs: null })), cannotTell);
  assert.equal(judge(snapshotOf(), {}, Number.NaN), cannotTell);
  const unknown = { what: 'it is so', unixMs: undefined, howToRecord: 'again' };
  assert.equal(judge(snapshotOf(), { change: unknown }), cannotTell);
  // One readable Lease that is young enough is enough; where it is old, the other may be young.
  assert.equal(judge(snapshotOf({ unreadableLeases: 1 })), 'proves');
  const old = { unreadableLeases: 1, newestLeaseUnixMs: changedUnixMs - 1 };
  assert.equal(judge(snapshotOf(old)), cannotTell);
  assert.equal(judge(snapshotOf(), { nowUnixMs: changedUnixMs - 60_000 }), cannotTell);
});

const proven = (objects: readonly (readonly [string, Seal])[]): ProvenSnapshot => {
  const change = { what: 'it is so', unixMs: changedUnixMs, howToRecord: 'again' };
  const demand = { clusterUid: uid, change, nowUnixMs: changedUnixMs };
  return ProvenSnapshot.of(snapshotOf({}, [['namespaces', clear], ...objects]), demand);
};

test('phase only: what the configuration covers is found by its place in etcd', () => {
  const only = (resource: string, ...names: string[]): string =>
    outcome(() => requireAllSealed(proven([[resource, clear]]), names));
  assert.equal(only('secrets', 'secrets'), 'refused');
  assert.equal(only('pods', 'secrets'), 'proves');
  assert.equal(only('deployments', 'secrets', 'deployments.apps'), 'refused');
  assert.equal(only('things.example.com', 'things.example.com'), 'refused');
  assert.equal(only('pods', 'secrets', '*.*'), 'refused');
  assert.equal(only('pods', 'secrets', '*.apps'), 'scan-cannot-tell');
});

test('disable: what kleidi has sealed is found under any prefix', () => {
  const disable = (resource: string, seal: Seal): string =>
    outcome(() => requireNoneSealed(proven([[resource, seal]]), 'kleidi'));
  assert.equal(disable(foreignResource, sealed), 'refused');
  assert.equal(disable('secrets', clear), 'proves');
});
