// What a check of `kleidi doctor` is: one group, one file. A check looks and
// never changes anything; each finding that is not ok says what to do.

import type { Config } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { usesToken } from '../host/tokenuse.ts';
import type { Ring } from '../keyring/ring.ts';
import type { StateResponse } from '../kms/contract.ts';
import type { KekDescription } from '../providers/provider.ts';
import type { KeySettings } from '../providers/vault/keysettings.ts';
import type { VaultKek } from '../providers/vault/versions.ts';

type Severity = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly severity: Severity;
  readonly what: string;
  /** The next command or step; there for every finding that is not ok. */
  readonly todo?: string;
}

/**
 * What install.conf has this host for. `contradicted`: for the machine of the recovery key,
 * and it has a ring, a token or PINs.
 */
export type Role = 'master' | 'offline' | 'contradicted';

/** What checks look at. Each part is asked for once, when the first check wants it. */
export interface Subject {
  readonly configPath: string;
  /** Where the file system begins: `/`. */
  readonly root: string;
  readonly isRoot: boolean;
  /** @throws KleidiError config-invalid */
  config(): Config;
  /** @throws KleidiError config-invalid, also where install.conf has mistakes */
  role(): Promise<Role>;
  /** @throws KleidiError as readRing */
  ring(): Promise<Ring>;
  /** The KEKs in the token. @throws KleidiError where it cannot be opened */
  keks(): Promise<readonly KekDescription[]>;
  /** Those in the TPM. @throws KleidiError where its token cannot be opened */
  tpmKeks(): Promise<readonly KekDescription[]>;
  /** The Transit key and its versions. @throws KleidiError vault-* */
  vaultKey(): Promise<{ readonly settings: KeySettings; readonly keks: readonly VaultKek[] }>;
  /** Of the running daemon. @throws KleidiError not-running */
  state(): Promise<StateResponse>;
}

/** Of one part: one, some in their order, or none. */
export type Findings = Finding | undefined | readonly Findings[];

export function flat(findings: Findings): Finding[] {
  if (findings === undefined) return [];
  return 'severity' in findings ? [findings] : findings.flatMap(flat);
}

export interface Check {
  readonly group: string;
  /** Without which it is not looked at: a valid configuration, or one and KEKs in a token. */
  readonly needs: 'nothing' | 'config' | 'token';
  run(subject: Subject): Promise<Findings>;
}

export const ok = (what: string): Finding => ({ severity: 'ok', what });
export const warn = (what: string, todo: string): Finding => ({ severity: 'warn', what, todo });
export const fail = (what: string, todo: string): Finding => ({ severity: 'fail', what, todo });

/** An error already says what failed and what to do. */
export function failure(thrown: unknown): Finding {
  const { message, hint } = KleidiError.from(thrown);
  return fail(message, hint ?? 'journalctl -u kleidi -x');
}

/** Where looking needs a right that the caller lacks. */
export function notAsUser(what: string): Finding {
  return warn(`${what}: not checked`, 'run kleidi doctor as root');
}

/** Whether this host keeps KEKs in a token, as the daemon decides it: by the ring. */
export async function tokenInUse(subject: Subject): Promise<boolean> {
  const ring = await subject.ring().catch(() => undefined);
  return usesToken(subject.config(), ring);
}

export const noToken: Finding = ok('not in use: no KEK of this ring is kept in a token');
