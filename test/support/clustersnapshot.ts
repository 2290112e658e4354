// A real snapshot of a cluster's etcd, brought to one of its hosts as an operator does, and
// what kleidi finds in it there.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlane } from './controlplane.ts';

export interface Scan {
  readonly notOpenable: number;
  readonly secretsInClear: number;
  readonly clusterUid: string;
  readonly findings: readonly Finding[];
  readonly verification: { readonly failures: readonly unknown[] };
}

interface Finding {
  readonly resource: string;
  readonly keyId: string;
  readonly live: number;
}

export const snapshotInHost = '/root/etcd.db';

export function bringSnapshot(plane: ControlPlane, index: number): void {
  const file = join(plane.folder, 'etcd.db');
  plane.etcdctl(index, 'snapshot', 'save', file);
  plane.host(index).write(snapshotInHost, readFileSync(file));
}

/** Of a new snapshot, all of which opens. */
export function scanSnapshot(plane: ControlPlane, index: number): Scan {
  bringSnapshot(plane, index);
  const command = `kleidi snapshot scan ${snapshotInHost} --verify --json`;
  const scan = JSON.parse(plane.host(index).sh(command)) as Scan;
  assert.equal(scan.notOpenable, 0);
  assert.deepEqual(scan.verification.failures, []);
  return scan;
}

/** Under which key ids Secrets are that are not history. */
export function liveKeyIds({ findings }: Scan): string[] {
  const live = findings.filter(({ resource, live }) => resource === 'secrets' && live > 0);
  return [...new Set(live.map(({ keyId }) => keyId))];
}
