// How far kube-apiserver uses kleidi, and the order in which it goes there.
import { KleidiError } from '../errors.ts';

/**
 * read: [others, kms]; write: [kms, others, identity]; only: [kms, others]. Others are
 * what reads data that somebody else has sealed: they always stay, but for identity,
 * which reads what is in clear.
 */
export type Phase = 'read' | 'write' | 'only';

/** In the order in which every API server goes through them. */
export const phases: readonly Phase[] = ['read', 'write', 'only'];

const order: readonly (Phase | undefined)[] = [undefined, ...phases];

/**
 * One step at a time, forwards and backwards: at `only` an API server cannot read what
 * another one at `read` writes in clear. A single one may skip to write, and back.
 * @throws KleidiError refused
 */
export function requireStep(from: Phase | undefined, to: Phase, isSingleMaster: boolean): void {
  const [at, due] = [order.indexOf(from), order.indexOf(to)];
  if (Math.abs(due - at) <= 1) return;
  if (isSingleMaster && (to === 'write' || to === 'read')) return;
  const first = order[at + Math.sign(due - at)];
  const hint = `kleidi apiserver enable --phase ${first} on every API server first: each must read what another writes`;
  throw new KleidiError(
    'refused',
    `phase ${to} comes after ${order[due - Math.sign(due - at)]} on every API server, and this host ${from === undefined ? 'does not use kleidi yet' : `is at ${from}`}`,
    { hint: to === 'only' ? hint : `${hint}; or --single-master` },
  );
}
