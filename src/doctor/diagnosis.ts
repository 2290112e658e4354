// All groups of `kleidi doctor` in their order, each run so that the fault of
// one does not keep the others from being looked at.
import { apiserver } from './apiserver.ts';
import {
  type Check,
  type Finding,
  failure,
  flat,
  noToken,
  type Subject,
  tokenInUse,
  warn,
} from './check.ts';
import { configuration } from './configuration.ts';
import { credential } from './credential.ts';
import { host } from './host.ts';
import { metrics } from './metrics.ts';
import { forOffline, isOffline } from './offline.ts';
import { recovery } from './recovery.ts';
import { ring } from './ring.ts';
import { selinux } from './selinux.ts';
import { socket } from './socket.ts';
import { token } from './token.ts';
import { tpm } from './tpm.ts';
import { unit } from './unit.ts';
import { vault } from './vault.ts';

export const checks: readonly Check[] = [
  configuration,
  credential,
  token,
  tpm,
  vault,
  ring,
  socket,
  unit,
  metrics,
  apiserver,
  recovery,
  selinux,
  host,
];

export interface GroupFinding extends Finding {
  readonly group: string;
}

/** @param only groups to look at; none means all */
export async function diagnose(
  subject: Subject,
  only: readonly string[],
): Promise<readonly GroupFinding[]> {
  const wanted = checks.filter(({ group }) => only.length === 0 || only.includes(group));
  const isUnused = await isOffline(subject);
  const found: GroupFinding[] = [];
  for (const each of wanted) {
    const check = isUnused ? forOffline(each) : each;
    const findings = await findingsOf(check, subject);
    found.push(...findings.map((finding) => ({ group: check.group, ...finding })));
  }
  return found;
}

async function findingsOf(check: Check, subject: Subject): Promise<readonly Finding[]> {
  if (check.needs !== 'nothing' && !hasConfig(subject)) {
    return [warn('not checked: the configuration is not valid', 'kleidi config check')];
  }
  if (check.needs === 'token' && !(await tokenInUse(subject))) return [noToken];
  return check.run(subject).then(flat, (error: unknown) => [failure(error)]);
}

function hasConfig(subject: Subject): boolean {
  try {
    subject.config();
    return true;
  } catch {
    return false;
  }
}
