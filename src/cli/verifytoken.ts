// kleidi verify-token: what the daemon starts to verify a token. Not for people: one job
// as a JSON line on standard input, one answer on standard output. Never writes.
import { verifyToken as verify } from '../tokenchild/verifier.ts';
import type { Internal } from './verb.ts';

export const verifyToken: Internal = {
  kind: 'internal',
  note: 'Used by the daemon; see kleidi serve.',
  run: verify,
};
