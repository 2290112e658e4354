// Has a person type what is about to be lost. Where nobody is there to be asked,
// the answer is no.
import { KleidiError, usage } from '../../errors.ts';
import { ask, isAnswerable } from './ask.ts';

/** @throws KleidiError usage where there is no terminal, refused where another text is typed */
export async function requireTyped(text: string, consequence: string): Promise<void> {
  if (!isAnswerable()) throw usage(`${consequence}: confirm with --yes`);
  const answer = await ask(`${consequence}.\nType ${text} to go on: `);
  if (answer.trim() === text) return;
  throw new KleidiError('refused', 'not confirmed, nothing was changed', {
    hint: 'type the whole fingerprint',
  });
}
