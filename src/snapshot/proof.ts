// Whether a snapshot proves what a command wants to know: it is of this cluster, read
// under the prefix of its API servers, and younger than the change. Pure judgement; the
// functions that conclude from a snapshot take a ProvenSnapshot and nothing else.
import { KleidiError } from '../errors.ts';
import type { Evidence } from './evidence.ts';
import { foreignResource, type Snapshot } from './snapshot.ts';

/**
 * API servers follow a change with a delay: a KMS v2 plugin's key id is asked for every
 * minute and a seed is written with for at most 3 minutes after the last answer
 * (k8s.io/apiserver, encrypt/envelope/kmsv2); the EncryptionConfiguration is read again
 * every minute.
 */
export const settleMs = 180_000;
/** A Lease that is further ahead of this host's clock tells that clocks are not in step. */
const maxAheadMs = 60_000;

export interface Demand {
  /** UID of the namespace kube-system; undefined where it is not known on this host. */
  readonly clusterUid: string | undefined;
  /** The change that the snapshot must be younger than. */
  readonly change: Change;
  readonly nowUnixMs: number;
}

export interface Change {
  /** As in "before WHAT". */
  readonly what: string;
  /** By the clock of this host, `settleMs` included where it applies; undefined: not known. */
  readonly unixMs: number | undefined;
  /** What records the time anew, where it is not known. */
  readonly howToRecord: string;
}

export class ProvenSnapshot {
  readonly snapshot: Snapshot;

  private constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
  }

  /** @throws KleidiError refused (empty, foreign, older), scan-cannot-tell */
  static of(snapshot: Snapshot, demand: Demand): ProvenSnapshot {
    requireObjects(snapshot);
    requireCluster(snapshot, demand.clusterUid);
    requireYounger(snapshot, demand);
    return new ProvenSnapshot(snapshot);
  }
}

/** "Cannot tell" is an answer of its own: only --no-scan passes it. */
export function cannotTell(path: string, why: string, hint: string): KleidiError {
  return new KleidiError('scan-cannot-tell', `${path} proves nothing either way: ${why}`, {
    hint: `${hint}; --no-scan goes on without a proof`,
  });
}

function requireObjects({ path, counts, evidence }: Snapshot): void {
  const live = (isForeign: boolean): number =>
    counts
      .filter(({ resource }) => (resource === foreignResource) === isForeign)
      .reduce((sum, each) => sum + each.live, 0);
  if (live(false) > 0) return;
  const elsewhere = live(true);
  const what = `${path} holds no object of kube-apiserver under ${evidence.prefix}`;
  if (elsewhere === 0)
    throw refused(`${what}: it is empty`, 'take a snapshot of the etcd that kube-apiserver uses');
  throw refused(
    `${what}, and ${elsewhere} keys elsewhere`,
    '--prefix names the --etcd-prefix of kube-apiserver; or it is a snapshot of another etcd',
  );
}

function requireCluster({ path, evidence }: Snapshot, wanted: string | undefined): void {
  const { clusterUid, prefix } = evidence;
  if (wanted === undefined) {
    throw cannotTell(
      path,
      'it is not recorded here which cluster this host is of',
      "run kleidi apiserver enable again where kubectl works, or give --cluster UID: kubectl get namespace kube-system -o jsonpath='{.metadata.uid}'",
    );
  }
  if (clusterUid === null) {
    throw cannotTell(
      path,
      `the namespace kube-system cannot be read in it under ${prefix}, so it is not known of which cluster it is`,
      'it is missing or sealed there: is this the etcd and the --etcd-prefix of kube-apiserver?',
    );
  }
  if (clusterUid === wanted) return;
  throw refused(
    `${path} is of another cluster: its kube-system has the UID ${clusterUid}, that of this cluster is ${wanted}`,
    'take a snapshot of the etcd of this cluster',
  );
}

function requireYounger({ path, evidence }: Snapshot, { change, nowUnixMs }: Demand): void {
  const { newestLeaseUnixMs: newest, unreadableLeases } = evidence;
  if (change.unixMs === undefined || Number.isNaN(change.unixMs)) {
    throw cannotTell(path, `it is not recorded here since when ${change.what}`, change.howToRecord);
  }
  if (newest === null)
    throw cannotTell(path, whyNoLease(evidence), 'how old it is cannot be known');
  if (newest > nowUnixMs + maxAheadMs) {
    throw cannotTell(
      path,
      `its newest Lease is of ${iso(newest)}, and here it is ${iso(nowUnixMs)}`,
      'bring the clocks of this host and of the API servers into step',
    );
  }
  if (newest > change.unixMs) return;
  if (unreadableLeases > 0)
    throw cannotTell(path, whyNoLease(evidence), 'how old it is cannot be known');
  throw refused(
    `${path} is too old: its newest Lease of an API server is of ${iso(newest)}, and it must be later than ${iso(change.unixMs)}, for ${change.what}`,
    'take a new snapshot after that time',
  );
}

function whyNoLease({ prefix, unreadableLeases }: Evidence): string {
  return unreadableLeases > 0
    ? `${unreadableLeases} Leases of API servers in it are sealed or cannot be read`
    : `it has no Lease of an API server (${prefix}/leases/kube-system/apiserver-*)`;
}

function iso(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

function refused(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
