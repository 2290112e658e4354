// The machine of the recovery key (ROLE=offline): nothing is made there.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { type Existing, findExisting } from './record.ts';

/**
 * Ring, token or PINs that are here belong to a host that serves: what stands in the
 * file is then a mistake, and says nothing of them.
 * @throws KleidiError refused
 */
export function requireNothingProvisioned(config: Config): void {
  const existing = findExisting(config);
  if (!isAny(existing)) return;
  const { ring, pins, token } = existing;
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
  return isAny(findExisting(config));
}

function isAny({ ring, pins, token }: Existing): boolean {
  return ring || pins || token === true;
}
