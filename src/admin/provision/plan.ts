// Decides what `kleidi provision` may do: begin, go on, nothing, or refuse. A
// new key where an old one was lost would orphan a cluster's data, so anything
// but a clean start or its own unfinished run is refused, with the way back.
import { KleidiError } from '../../errors.ts';
import type { Existing, Found, ProvisionRecord } from './record.ts';

export interface Wish {
  readonly ring: string;
  readonly ringNamed: boolean;
  /** Whether a first KEK is asked for in so many words, and not by default. */
  readonly kekNamed: boolean;
  readonly token: string;
  readonly machine: string;
  readonly tokenOnly: boolean;
}

type Plan =
  | { readonly kind: 'begin' }
  | { readonly kind: 'go-on'; readonly record: ProvisionRecord }
  | { readonly kind: 'nothing' };

const lostTokenHint =
  'where another member serves, there: kleidi ring export --out ring.json; here: kleidi provision --replace lost-token --member-ring ring.json --expect DIGEST, then key request and join; else recovery key and backup (/usr/share/doc/kleidi/operations.md, lost token)';

/** @throws KleidiError refused; nothing is changed */
export function planProvision(
  wish: Wish,
  record: ProvisionRecord | undefined,
  existing: Found,
): Plan {
  if (record === undefined) return planWithoutRecord(existing);
  requireSame(wish, record, isNameless(record, existing));
  if (!record.done) return { kind: 'go-on', record: named(wish, record) };
  requireWhole(existing);
  return isMoreWanted(wish, record, existing)
    ? { kind: 'go-on', record: renewed(wish, record) }
    : { kind: 'nothing' };
}

/** Its ring has no KEK, and none was begun: nobody has used its name. */
function isNameless({ done, tokenOnly }: ProvisionRecord, { ring, isBlank }: Found): boolean {
  return done ? isBlank : tokenOnly && (isBlank || !ring);
}

/** Of a run that has not come to its end: that of the package may have had another name. */
function named({ ring, ringNamed }: Wish, record: ProvisionRecord): ProvisionRecord {
  return ringNamed ? { ...record, ring } : record;
}

/**
 * The package has made a token and a ring without a KEK, and the operator names the ring
 * now: its name is settled, and with it the first KEK, unless that is to come from another
 * member. Nothing is lost: nobody has used that ring.
 */
function isMoreWanted(wish: Wish, record: ProvisionRecord, { isBlank }: Found): boolean {
  if (!isBlank || !record.tokenOnly) return false;
  return (wish.ringNamed && wish.ring !== record.ring) || (wish.kekNamed && !wish.tokenOnly);
}

function renewed(wish: Wish, record: ProvisionRecord): ProvisionRecord {
  return { ...named(wish, record), tokenOnly: wish.tokenOnly, done: false };
}

function planWithoutRecord(existing: Found): Plan {
  const { ring, pins, token, inUse } = existing;
  if (ring && pins && token !== false) return { kind: 'nothing' };
  if (ring) requireWhole(existing);
  if (token === true) {
    throw refuse(
      'there is a token but no ring file: the ring was lost, or the token belongs to something else',
      'take the ring from another member (there: kleidi ring export; here: kleidi ring adopt) or from a backup (kleidi restore); to use another token folder, change softhsm2.conf; a host that has sealed nothing: kleidi provision --replace never-sealed',
    );
  }
  if (inUse.length > 0) {
    throw refuse(
      `an API server of this host uses kleidi already, but ring and token are gone: ${inUse.join('; ')}`,
      lostTokenHint,
    );
  }
  return { kind: 'begin' };
}

function requireSame(wish: Wish, record: ProvisionRecord, isNameless: boolean): void {
  if (record.machine !== wish.machine) {
    throw refuse(
      'ring and token were made on another machine (its machine-id differs): this disk is a copy',
      'if this is the same host, put its old machine-id back first (a backup; the folders in /var/log/journal are named by it): its PIN opens under that one only. A second host needs its own token: kleidi provision --replace copied-disk',
    );
  }
  if (wish.ringNamed && record.ring !== wish.ring && !isNameless) {
    throw refuse(
      `this host is provisioned for ring '${record.ring}', not '${wish.ring}'`,
      'leave --ring out: a ring that has a KEK keeps its name; a host that has sealed nothing begins anew with kleidi provision --replace never-sealed',
    );
  }
  if (record.token !== wish.token) {
    throw refuse(
      `this host is provisioned with token '${record.token}', the configuration names '${wish.token}'`,
      'put pkcs11.token back as it was',
    );
  }
}

function requireWhole({ ring, pins, token }: Existing): void {
  if (token === false) {
    throw refuse(
      'the token is missing, though this host was provisioned: its KEKs are not on this host any more',
      `${lostTokenHint}; a new key could not open the old data`,
    );
  }
  if (!ring) {
    throw refuse(
      'the ring file is missing, though this host was provisioned',
      'take it from another member (there: kleidi ring export; here: kleidi ring adopt) or from a backup (kleidi restore)',
    );
  }
  if (!pins) {
    throw refuse(
      'the PINs are missing, though there is a ring file',
      `restore the credential files from a backup of this host; a token cannot be opened without its PIN. Where there is none: ${lostTokenHint}`,
    );
  }
}

function refuse(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
