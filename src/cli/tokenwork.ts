// kleidi token-work: what other commands start to work in the token. Not for people: one
// job as a JSON line on standard input, answers on standard output.
import { workInToken } from '../tokenchild/worker.ts';
import type { Verb } from './verb.ts';

export const tokenWork: Verb = {
  hidden: true,
  help: 'usage: kleidi token-work\n\nUsed by provision, key and snapshot; see there.',
  run: workInToken,
};
