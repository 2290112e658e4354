// The one way a KEK gets into a token, for the host that makes it and for every
// other: unwrapped, not extractable, with the same attributes, and only when
// the key inside is the one that fingerprint and check say, and has 32 bytes.
import { KleidiError } from '../../../errors.ts';
import { isSameKek } from '../../kekidentity.ts';
import type { Fingerprint } from '../../provider.ts';
import { ckrOf, ckrText } from '../ckr.ts';
import { identityOf } from '../identity.ts';
import type { Handle } from '../module.ts';
import { isTokenLost } from '../recoverypolicy.ts';
import type { Token } from '../token.ts';
import { isWholeKek, kekBytes } from './keklength.ts';
import { unwrapKey, type WrappedPart } from './oaep.ts';
import { kekTemplate } from './template.ts';

/**
 * @returns a handle that lives as long as the session
 * @throws KleidiError refused; pkcs11js errors where the token itself is lost
 */
export function unwrapIntoMemory(token: Token, session: Handle, part: WrappedPart): Handle {
  const kek = unwrapChecked(token, session, part, 'memory');
  if (isWholeKek(token, kek, part)) return kek;
  token.module.api.C_DestroyObject(session, kek);
  throw refused(part.fp, `it has not ${kekBytes} bytes`);
}

/** Call it with what `unwrapIntoMemory` has proved. */
export function unwrapIntoToken(token: Token, session: Handle, part: WrappedPart): void {
  unwrapChecked(token, session, part, 'token');
}

function unwrapChecked(
  token: Token,
  session: Handle,
  part: WrappedPart,
  place: 'memory' | 'token',
): Handle {
  const { api } = token.module;
  const kek = unwrap(token, session, part, place);
  if (isSameKek(identityOf(api, session, kek), part)) return kek;
  api.C_DestroyObject(session, kek);
  throw refused(part.fp, 'the key inside is another one');
}

function unwrap(
  token: Token,
  session: Handle,
  { fp, oaepHash, privateKey, wrapped, label }: WrappedPart,
  place: 'memory' | 'token',
): Handle {
  const template = kekTemplate(place, label, Buffer.from(fp, 'hex'));
  try {
    return unwrapKey(token.module.api, session, oaepHash, privateKey, wrapped, template);
  } catch (error) {
    if (place === 'token' || isTokenLost(ckrOf(error))) throw error;
    throw refused(fp, `its wrapped part cannot be opened, ${ckrText(error)}`, error);
  }
}

function refused(fp: Fingerprint, why: string, cause?: unknown): KleidiError {
  return new KleidiError('refused', `KEK ${fp} is not taken: ${why}`, {
    hint: 'the bundle was damaged or changed: nothing of it was kept; fetch it again from where it was made',
    cause,
  });
}
