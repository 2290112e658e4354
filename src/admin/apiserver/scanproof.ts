// --scan of every command that has it: reads the snapshot under the prefix that
// kube-apiserver of this host uses, and takes it as a proof or refuses it.
import { recordedClusterUid, uidPattern } from '../../apiserver/clusteruid.ts';
import { etcdFlags } from '../../apiserver/etcdflags.ts';
import type { Installation } from '../../apiserver/installation.ts';
import { KleidiError, usage } from '../../errors.ts';
import { type Change, cannotTell, ProvenSnapshot } from '../../snapshot/proof.ts';
import { defaultPrefix, scanSnapshot, withSlash } from '../../snapshot/snapshot.ts';

/** What was given for --scan and the options that belong to it. */
interface Options {
  readonly text: (name: 'scan' | 'prefix' | 'cluster') => string | undefined;
  readonly flag: (name: 'no-scan') => boolean;
}

export interface ScanSubject {
  readonly ringPath: string;
  /** kube-apiserver of this host; none where it has none. */
  readonly installations: readonly Installation[];
  /** Asked for where there is a snapshot. */
  change(): Promise<Change>;
}

/** What needs it only sometimes does not say so in its table. @throws KleidiError usage */
function requireScanChoice(options: Options): void {
  if ((options.text('scan') === undefined) === options.flag('no-scan')) return;
  throw usage('--scan FILE (an etcd snapshot) or --no-scan?');
}

/**
 * @returns undefined for --no-scan
 * @throws KleidiError usage, refused, scan-cannot-tell, snapshot-invalid
 */
export async function readProof(
  options: Options,
  subject: ScanSubject,
): Promise<ProvenSnapshot | undefined> {
  requireScanChoice(options);
  const file = options.text('scan');
  if (file === undefined) return undefined;
  const clusterUid = await clusterOf(options.text('cluster'), subject.ringPath);
  requireOneStore(file, subject);
  const snapshot = await scanSnapshot(file, { prefix: prefixOf(options.text('prefix'), subject) });
  const change = await subject.change();
  return ProvenSnapshot.of(snapshot, { clusterUid, change, nowUnixMs: Date.now() });
}

/** @throws KleidiError usage */
export function parseClusterUid(text: string | undefined): string | undefined {
  if (text === undefined || uidPattern.test(text)) return text;
  throw usage(
    `'${text}' is no UID: kubectl get namespace kube-system -o jsonpath='{.metadata.uid}' prints it`,
  );
}

async function clusterOf(text: string | undefined, ringPath: string): Promise<string | undefined> {
  const given = parseClusterUid(text);
  const recorded = await recordedClusterUid(ringPath);
  if (given === undefined || recorded === undefined || given === recorded) return given ?? recorded;
  throw new KleidiError('refused', `this host is of cluster ${recorded}, not of ${given}`, {
    hint: 'check with kubectl; kleidi apiserver enable --cluster UID records another',
  });
}

/** What the flags say; an operator may say it too, but nothing else. */
function prefixOf(given: string | undefined, { installations }: ScanSubject): string {
  const found = installations.flatMap((each) => {
    const { prefixes } = etcdFlags(each);
    return prefixes.length > 0 ? prefixes : [defaultPrefix];
  });
  const known = [...new Set(found.map(withSlash))];
  const wanted = given === undefined ? undefined : withSlash(given);
  const [first = withSlash(defaultPrefix), second] = known;
  if (wanted === undefined && second === undefined) return first;
  if (wanted !== undefined && (known.length === 0 || known.includes(wanted))) return wanted;
  const list = known.map((each) => each.slice(0, -1)).join(', ');
  throw new KleidiError('refused', `the flags of kube-apiserver say --etcd-prefix ${list}`, {
    hint: wanted === undefined ? 'name the one in use with --prefix' : 'leave --prefix out',
  });
}

/** Never sealed, or only what makes a snapshot say less. */
const harmless = ['/events', 'events.k8s.io/events', 'coordination.k8s.io/leases'];

function requireOneStore(file: string, { installations }: ScanSubject): void {
  const other = installations
    .flatMap((each) => etcdFlags(each).elsewhere)
    .filter((each) => !harmless.includes(each));
  if (other.length === 0) return;
  throw cannotTell(
    file,
    `--etcd-servers-overrides keeps ${other.join(', ')} in another etcd`,
    'look at a snapshot of each with kleidi snapshot scan',
  );
}
