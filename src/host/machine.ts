// Is this the machine on which token and ring were made? A copied disk serves the
// same KEKs, and would do so without a word where the PIN is not sealed to the host.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { machinePrefix } from '../providers/domainseparation.ts';
import { readOwnFileSync } from '../readfile.ts';

/** What `kleidi provision` has made here, and on which machine. */
export function provisionRecordPath(ringPath: string): string {
  return join(dirname(ringPath), 'provision.json');
}

/** The provision record has it. */
export function machineHash(): string {
  const id = existsSync('/etc/machine-id') ? readFileSync('/etc/machine-id', 'utf8').trim() : '';
  return createHash('sha256').update(`${machinePrefix}${id}`).digest('hex');
}

/** One sentence; undefined where it is the same machine, or where that cannot be told. */
export function otherMachine(ringPath: string): string | undefined {
  const recorded = recordedMachine(provisionRecordPath(ringPath));
  if (recorded === undefined || recorded === machineHash()) return undefined;
  return 'token and ring were made on another machine (its machine-id differs): is this disk a copy?';
}

function recordedMachine(path: string): string | undefined {
  try {
    const { machine } = JSON.parse(readOwnFileSync(path)) as { machine?: unknown };
    return typeof machine === 'string' ? machine : undefined;
  } catch {
    return undefined;
  }
}
