// kleidi token-work: what other commands start to work in the token. Not for people: one
// job as a JSON line on standard input, answers on standard output.
import { workInToken } from '../tokenchild/worker.ts';
import type { Internal } from './verb.ts';

export const tokenWork: Internal = {
  kind: 'internal',
  note: 'Used by provision, key and snapshot; see there.',
  run: workInToken,
};
