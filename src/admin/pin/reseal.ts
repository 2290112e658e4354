// kleidi pin reseal: the same PIN, sealed anew as the configuration says now: to a TPM that
// this machine has got, to other PCRs, or to the disk alone.
import { existsSync } from 'node:fs';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';
import { type Binding, bindingIn } from '../../host/binding.ts';
import {
  encryptedCredential,
  parseReference,
  pendingSecret,
  readSecret,
} from '../../host/credentials.ts';
import type { PinUser } from '../../providers/pkcs11/refusedpin.ts';
import { referenceOf } from './pending.ts';
import { sealSecret, settled } from './seal.ts';
import { wantedBinding } from './systemdcreds.ts';

/** Nothing where it cannot be told. */
export interface Resealed {
  readonly before: Binding | undefined;
  readonly after: Binding | undefined;
}

/** @returns undefined where there is no sealed one */
export async function bindingDue(config: Config, who: PinUser): Promise<Resealed | undefined> {
  const path = sealedPath(referenceOf(config, who));
  if (path === undefined) return undefined;
  return { before: await bindingIn(path), after: wantedBinding(config.pkcs11) };
}

function sealedPath(reference: string): string | undefined {
  const parsed = parseReference(reference);
  if (parsed.kind === 'file') return undefined;
  const path = encryptedCredential(parsed.name);
  return existsSync(path) ? path : undefined;
}

/**
 * Call it under the ring's lock.
 * @returns undefined where there is no sealed one: it is in a file, or not on this host
 * @throws KleidiError pin-missing where the old seal does not open, tool-missing, refused;
 *   the old one stays then
 */
export async function reseal(config: Config, who: PinUser): Promise<Resealed | undefined> {
  const reference = referenceOf(config, who);
  const path = sealedPath(reference);
  if (path === undefined) return undefined;
  const waits = pendingSecret(reference);
  if (waits !== undefined) throw interrupted(waits, who);
  const before = await bindingIn(path);
  const pin = await readSecret(reference, {});
  const sealed = await sealSecret(reference, pin, undefined, config.pkcs11);
  await writeFileAtomically(sealed.path, sealed.contents, sealed.mode, sealed.owner);
  await settled(reference);
  return { before, after: await bindingIn(path) };
}

function interrupted(path: string, who: PinUser): KleidiError {
  return new KleidiError(
    'refused',
    `a change of the ${who === 'so' ? 'SO PIN' : 'PIN'} has not come to its end: the new one waits in ${path}; nothing was changed`,
    { hint: `kleidi pin set${who === 'so' ? ' --so' : ''} finishes or drops it` },
  );
}
