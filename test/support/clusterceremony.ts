// The ceremonies of docs/operations.md on booted hosts, by the commands of an
// operator: first KEK, another KEK, and the phases of the API servers.
import { readFileSync } from 'node:fs';
import { passphrase } from './recoveryset.ts';
import type { SystemHost } from './systemhost.ts';

const bundle = '/root/kek.bundle';

export interface MadeOnHost {
  readonly fp: string;
  readonly digest: string;
}

export interface Ceremony {
  readonly first: SystemHost;
  readonly others: readonly SystemHost[];
  /** FILE=SHA256 on the first host, as --recovery takes it. */
  readonly recovery: string;
}

/** A recovery key. The hosts have tokens without a KEK. */
export function beginCeremony(first: SystemHost, others: readonly SystemHost[]): Ceremony {
  const made = first.sh('kleidi recovery create --out /root/recovery --passphrase-fd 0 --json', {
    input: `${passphrase}\n`,
  });
  const { sha256 } = JSON.parse(made) as { sha256: string };
  return { first, others, recovery: `/root/recovery.pub=${sha256}` };
}

/** A new KEK that every host holds; none writes with it yet. */
export function createOnAll({ first, others, recovery }: Ceremony): MadeOnHost {
  const requests = others.map((host, index) => request(host, first, index));
  const named = requests.map((each) => `--for ${each}`).join(' ');
  const out = first.sh(
    `rm -f ${bundle} && kleidi key create ${named} --recovery ${recovery} --out ${bundle} --json`,
  );
  const made = JSON.parse(out) as MadeOnHost;
  for (const host of others) {
    bring(bundle, first, host);
    host.sh(`kleidi join ${bundle} --expect ${made.digest}`);
  }
  return made;
}

/** @returns FILE=SHA256 of the request, brought to `first` */
function request(host: SystemHost, first: SystemHost, index: number): string {
  const path = `/root/member${index}.request`;
  const { sha256 } = JSON.parse(
    host.sh(`rm -f ${path} && kleidi key request --out ${path} --json`),
  ) as { sha256: string };
  bring(path, host, first);
  return `${path}=${sha256}`;
}

function bring(path: string, from: SystemHost, to: SystemHost): void {
  to.write(path, readFileSync(from.outside(path)));
}

/** The first KEK, which all hosts write with; the daemons are as they were. */
export function makeFirstKek(ceremony: Ceremony): void {
  const { fp } = createOnAll(ceremony);
  const promoted = promoteOnFirst(ceremony.first, fp);
  for (const host of ceremony.others) promoteLike(host, fp, promoted);
}

/** The first host writes with it. @returns what the others need for the same */
export function promoteOnFirst(host: SystemHost, fp: string): PromotedTo {
  return JSON.parse(host.sh(`kleidi key promote ${fp} --json`)) as PromotedTo;
}

export interface PromotedTo {
  readonly keyId: string;
  /** `sha256:…`, as kube-apiserver's metrics have it. */
  readonly keyIdHash: string;
  readonly generation: number;
  readonly digest: string;
}

export function promoteLike(
  host: SystemHost,
  fp: string,
  { generation, digest }: PromotedTo,
): void {
  host.sh(`kleidi key promote ${fp} --generation ${generation} --expect ${digest}`);
}
