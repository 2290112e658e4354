// The machine of the recovery key (ROLE=offline in install.conf): it has no token, ring or
// service, and lacks none.

import { showUnit } from '../host/systemctl.ts';
import { type Check, type Findings, ok, type Subject, warn } from './check.ts';
import { unit } from './unit.ts';

const unused = new Set([
  ...['credential', 'token', 'tpm', 'vault', 'ring', 'socket', 'metrics', 'apiserver', 'recovery'],
]);
const units = [
  'kleidi.socket',
  'kleidi.service',
  'kleidi-first-boot.service',
  'kleidi-metrics.socket',
];

/** Where the file has mistakes, the group host says so. */
export async function isOffline(subject: Subject): Promise<boolean> {
  return (await subject.role().catch(() => undefined)) === 'offline';
}

/** The same group, as it is looked at there. */
export function forOffline(check: Check): Check {
  const { group } = check;
  if (check === unit) return { ...check, run: unitsOff };
  if (!unused.has(group)) return check;
  const run = async (): Promise<Findings> => ok('not in use: this is an offline machine');
  return { group, needs: 'nothing', run };
}

async function unitsOff(): Promise<Findings> {
  const found = await Promise.all(units.map(unitOff));
  return found.some((finding) => finding !== undefined)
    ? found
    : ok('no unit of kleidi runs or is enabled, as on an offline machine');
}

async function unitOff(name: string): Promise<Findings> {
  const shown = await showUnit(name, ['ActiveState', 'UnitFileState']);
  const { ActiveState = '', UnitFileState = '' } = shown ?? {};
  const states = [
    ...(ActiveState === 'active' ? ['active'] : []),
    ...(UnitFileState.startsWith('enabled') ? ['enabled'] : []),
  ];
  if (states.length === 0) return undefined;
  return warn(
    `${name} is ${states.join(' and ')}, and an offline machine has no service`,
    `systemctl disable --now ${name}`,
  );
}
