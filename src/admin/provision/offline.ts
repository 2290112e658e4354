// The machine of the recovery key (ROLE=offline): nothing is made there.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { findExisting } from './record.ts';

/**
 * Ring, token or PINs that are here belong to a host that serves: what stands in the
 * file is then a mistake, and says nothing of them.
 * @throws KleidiError refused
 */
export function requireNothingProvisioned(config: Config): void {
  const { ring, pins, token } = findExisting(config);
  if (!isProvisioned(config)) return;
  const found = [ring ? config.ring : '', token === true ? 'a token' : '', pins ? 'PINs' : ''];
  throw new KleidiError(
    'refused',
    `ROLE=offline, but this host was provisioned as a master: there is ${found.filter((each) => each !== '').join(', ')}; nothing was changed`,
    {
      hint: 'set ROLE=master in install.conf where this host is to serve; the machine of the recovery key is another one, which holds nothing of a ring',
    },
  );
}

/** As a master, in whole or in part. */
export function isProvisioned(config: Config): boolean {
  const { ring, pins, token } = findExisting(config);
  return ring || pins || token === true;
}
