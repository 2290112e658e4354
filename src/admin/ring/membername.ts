// DIGEST@MEMBER: what one member says of its ring, so that no host takes its own word
// for that of another. Against a slip, not against somebody who wants to lie.
import { hostname } from 'node:os';
import { KleidiError, usage } from '../../errors.ts';
import { machineHash } from '../../host/machine.ts';

const form = /^(sha256:[0-9a-f]{64})@[A-Za-z0-9_-]+\.([0-9a-f]{8})$/;

/** Host names may be equal; machine-ids are not, unless a disk was copied. */
export function memberName(): string {
  const name = hostname().split('.')[0] ?? '';
  return `${/^[A-Za-z0-9_-]+$/.test(name) ? name : 'unnamed'}.${machineTag()}`;
}

/**
 * @returns the digest
 * @throws KleidiError usage, refused
 */
export function digestOfAnother(text: string): string {
  const [, digest, tag] = form.exec(text) ?? [];
  if (digest === undefined) {
    throw usage(`'${text}' is not what kleidi ring digest --live --named prints on another member`);
  }
  if (tag !== machineTag()) return digest;
  throw new KleidiError('refused', 'that digest is the word of this host, not of another member', {
    hint: 'run kleidi ring digest --live --named on another member; where there is none: --single-master',
  });
}

function machineTag(): string {
  return machineHash().slice(0, 8);
}
