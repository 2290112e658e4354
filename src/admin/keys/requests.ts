// What must be true of requests before a KEK is wrapped for them.
import { KleidiError } from '../../errors.ts';
import type { RequestFile } from '../../keyring/request.ts';

/** @throws KleidiError refused: a request of another ring, or one that is named twice */
export function requireRequests(ring: string, requests: readonly RequestFile[]): void {
  for (const { path, ring: theirs, host } of requests) {
    if (theirs === ring) continue;
    throw new KleidiError(
      'refused',
      `${path} is of host ${host} in ring '${theirs}', the KEK is of ring '${ring}'`,
      { hint: 'name the request of a host of this ring' },
    );
  }
  const names = requests.map(({ recipient }) => recipient);
  const twice = requests.find(({ recipient }, i) => names.indexOf(recipient) !== i);
  if (twice === undefined) return;
  throw new KleidiError(
    'refused',
    `${twice.path} is the same request as another one, or has its key`,
    {
      hint: 'name each host once; two hosts with one request are copies of one token',
    },
  );
}
