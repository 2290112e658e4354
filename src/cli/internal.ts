// Not for people: what commands and the daemon start to work in a token. One job as a JSON
// line on standard input, answers on standard output.
import type { Internal } from './verb.ts';

export const tokenWork: Internal = {
  kind: 'internal',
  note: 'Used by provision, pin, key and snapshot; see there.',
  run: async () => (await import('../tokenchild/worker.ts')).workInToken(),
};

/** Never writes. */
export const verifyToken: Internal = {
  kind: 'internal',
  note: 'Used by the daemon; see kleidi serve.',
  run: async () => (await import('../tokenchild/verifier.ts')).verifyToken(),
};
