// kleidi snapshot scan: which objects of an etcd snapshot are under which key
// id, and whether the ring of this host could open them.

import { type Verification, verifySeeds } from '../../admin/keys/verifyseeds.ts';
import { loadConfig } from '../../config.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { type Finding, highestGeneration, judge } from '../../snapshot/judgement.ts';
import { type Snapshot, scanSnapshot } from '../../snapshot/snapshot.ts';
import { paint, print, printJson, table, warn } from '../../terminal.ts';
import { flag, jsonOption, one, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = {
  verify:
    flag(`open one object of each sealed seed with the token of this host; shows nothing of what is
      inside`),
  prefix: text('PATH', '--etcd-prefix of kube-apiserver (default /registry)'),
  json: jsonOption,
};

export const snapshotScan = command({
  summary: 'what an etcd snapshot is sealed with, and whether this ring can open it',
  notes: [
    `Reads an etcd snapshot (etcdctl snapshot save) or data file (member/snap/db), read-only, and
    lists by resource how many objects are under which provider and key id, and whether the ring
    of this host could open them. Exit code 1 where it could not open one. Objects in clear need
    no key and do not count as that; a warning says where Secrets are. The data file of a
    running etcd lacks its latest writes: take a snapshot instead.`,
  ],
  options: optionTable,
  positionals: one('FILE'),
  remarks: [
    `Cluster (UID of the namespace kube-system) and newest Lease of an API server tell of which
    cluster it is and how old: what --scan of other commands goes by. OLDER counts earlier
    states of objects, which disappear by compaction.`,
  ],
  example: 'kleidi snapshot scan /var/backups/etcd.db --verify',
  run: scan,
});

interface Result {
  readonly snapshot: Snapshot;
  readonly findings: readonly Finding[];
  readonly highestGeneration: number;
  readonly verification: Verification | undefined;
}

async function scan(options: Parsed<typeof optionTable>): Promise<number> {
  const config = loadConfig(options.configPath);
  const ring = await readRing(config.ring);
  const prefix = options.text('prefix');
  const [file = ''] = options.positionals;
  const found = await scanSnapshot(file, prefix === undefined ? {} : { prefix });
  const result: Result = {
    snapshot: found,
    findings: judge(found, ring),
    highestGeneration: highestGeneration(found, ring.ring),
    verification: options.flag('verify') ? await verifySeeds(config, ring, found) : undefined,
  };
  if (options.json) printJson(asJson(result, ring.ring));
  else show(result, ring.ring);
  return closed(result) + (result.verification?.failures.length ?? 0) > 0 ? 1 : 0;
}

/** Objects as they are now that the ring could not open. */
function closed({ findings }: Result): number {
  return sum(findings.filter(({ obstacle }) => obstacle !== null));
}

function secretsInClear({ findings }: Result): number {
  return sum(findings.filter(({ resource, kind }) => resource === 'secrets' && kind === 'clear'));
}

function sum(findings: readonly Finding[]): number {
  return findings.reduce((total, { live }) => total + live, 0);
}

function asJson(result: Result, ring: string): object {
  const { snapshot: found, findings, verification } = result;
  return {
    file: found.path,
    revision: found.revision,
    checksum: found.isChecked,
    ring,
    prefix: found.evidence.prefix,
    clusterUid: found.evidence.clusterUid,
    newestLease: isoOrNull(found.evidence.newestLeaseUnixMs),
    unreadableLeases: found.evidence.unreadableLeases,
    highestGeneration: result.highestGeneration,
    notOpenable: closed(result),
    secretsInClear: secretsInClear(result),
    findings,
    verification: verification ?? null,
  };
}

function show(result: Result, ring: string): void {
  const { snapshot: found, findings, verification } = result;
  const checked = found.isChecked ? ', checksum right' : '';
  print(`${found.path}: etcd revision ${found.revision}${checked}`);
  for (const line of originLines(found)) print(line);
  print(`highest generation of ring '${ring}' in it: ${result.highestGeneration}\n`);
  const head = ['RESOURCE', 'PROVIDER', 'KEY ID', 'OBJECTS', 'OLDER', 'SEEDS', 'THIS RING'];
  print(table([head, ...findings.map(row)]));
  if (verification !== undefined) showVerification(verification);
  const inClear = secretsInClear(result);
  if (inClear > 0)
    warn(`${inClear} Secrets are in clear: rewrite them once kleidi is the first provider`);
  const notOpenable = closed(result);
  if (notOpenable > 0) warn(`this ring could not open ${notOpenable} objects`);
  else print(`\n${paint('this ring could open every object', 'green', process.stdout)}`);
}

function isoOrNull(unixMs: number | null): string | null {
  return unixMs === null ? null : new Date(unixMs).toISOString();
}

/** What it proves for --scan of other commands: of which cluster it is, and how old. */
function originLines({ evidence }: Snapshot): string[] {
  const { prefix, clusterUid, newestLeaseUnixMs, unreadableLeases } = evidence;
  const sealed = unreadableLeases > 0 ? ` (${unreadableLeases} cannot be read)` : '';
  return [
    `cluster (UID of kube-system): ${clusterUid ?? 'cannot be read'}, under ${prefix}`,
    `newest Lease of an API server: ${isoOrNull(newestLeaseUnixMs) ?? 'none'}${sealed}`,
  ];
}

function row(finding: Finding): string[] {
  const { resource, kind, provider, keyId, live, older, seeds, obstacle, example } = finding;
  return [
    resource,
    kind === 'clear' ? '(clear)' : provider,
    keyId === '' ? '-' : keyId,
    String(live),
    String(older),
    seeds === 0 ? '-' : String(seeds),
    verdict(kind, obstacle, example),
  ];
}

function verdict(kind: Finding['kind'], obstacle: string | null, example: string): string {
  if (kind === 'clear') return '-';
  return obstacle === null ? 'opens' : `NO: ${obstacle}; for example ${example}`;
}

function showVerification({ seeds, objects, failures, elsewhere }: Verification): void {
  print(`\nverified: the token opens ${seeds} sealed seeds, and they open ${objects} objects`);
  if (elsewhere > 0) warn(`${elsewhere} sealed seeds are under KEKs outside the token: not tried`);
  for (const { example, keyId, why } of failures) warn(`${example} (${keyId}): ${why}`);
}
