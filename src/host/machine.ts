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

/** Token and PINs that `kleidi provision --replace` has made here, once that is at its end. */
interface ReplacedToken {
  /** Where those of before are: each replacement has its own. */
  readonly folder: string;
  /** Nothing was sealed under the KEKs of before, so that nobody needs them. */
  readonly isUnneeded: boolean;
}

/** The last one; undefined where there was none, or it is under way. */
export function replacedToken(ringPath: string): ReplacedToken | undefined {
  try {
    const text = readOwnFileSync(provisionRecordPath(ringPath));
    const { done, replaced } = JSON.parse(text) as {
      done?: unknown;
      replaced?: { readonly folder?: unknown; readonly case?: unknown };
    };
    if (done !== true || typeof replaced?.folder !== 'string') return undefined;
    return { folder: replaced.folder, isUnneeded: replaced.case === 'never-sealed' };
  } catch {
    return undefined;
  }
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
