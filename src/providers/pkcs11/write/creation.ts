// Makes KEKs. A new KEK is extractable only as an object in memory; it is
// wrapped for every recipient and for a transport key of this very run, and kept
// by unwrapping that: the same path, and so the same attributes, as on any other
// host. Never reached from `serve`.
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../../errors.ts';
import { isSameKek } from '../../kekidentity.ts';
import type {
  CreatedKek,
  Fingerprint,
  KekDescription,
  KekIdentity,
  KekWish,
  OaepHash,
  WrappedNewKek,
} from '../../provider.ts';
import { findKeks } from '../aeskek.ts';
import { ckrText } from '../ckr.ts';
import { cmacOf, identityOf } from '../identity.ts';
import type { Handle } from '../module.ts';
import type { FoundKek, KeyScheme } from '../scheme.ts';
import type { Token } from '../token.ts';
import type { WrappedPart } from './oaep.ts';
import { importRecipient, wrapKey } from './oaep.ts';
import { destroyHalfMade } from './remains.ts';
import { newbornKekTemplate } from './template.ts';
import { generateTransportPair } from './transport.ts';
import { unwrapIntoMemory, unwrapIntoToken } from './unwrapping.ts';

/** All SoftHSM can do; modules that can do more are asked for it by issue of a bundle. */
const oaepHash: OaepHash = 'sha1';

/**
 * Makes a KEK that is extractable only in memory and wraps it for each recipient. Then it
 * is kept, not extractable, by the same unwrap path that other hosts use.
 * @param token opened writable
 * @param beforePersist runs before anything persists in the token: what it throws leaves
 *   the token unchanged
 */
export function createKek(
  token: Token,
  wish: KekWish,
  beforePersist: (kek: CreatedKek) => Promise<void>,
): Promise<void> {
  // The newborn KEK and the transport key live in this session.
  return inSession(token, 'the KEK cannot be created', async (session) => {
    const { created, own } = make(token, session, wish);
    unwrapIntoMemory(token, session, own);
    await beforePersist(created);
    unwrapIntoToken(token, session, own);
  });
}

export function describeKeks(token: Token, scheme: KeyScheme): readonly KekDescription[] {
  try {
    return scheme.find(token).keks.map((kek) => describe(token, kek));
  } catch (error) {
    throw toWriteError(error, 'the KEKs cannot be listed');
  }
}

/** Removes every object with this key, half-made ones too; false where there is none. */
export function destroyKek(token: Token, scheme: KeyScheme, fp: Fingerprint): boolean {
  try {
    const findings = scheme.find(token);
    const found = findings.keks.filter((kek) => kek.fp === fp);
    for (const { handle, partner } of found) {
      const handles = partner === undefined ? [handle] : [handle, partner.hmac];
      for (const each of handles) token.module.api.C_DestroyObject(token.anchor, each);
    }
    destroyHalfMade(token, findings, new Set([fp]));
    return found.length > 0;
  } catch (error) {
    throw toWriteError(error, `KEK ${fp} cannot be destroyed`);
  }
}

function make(
  token: Token,
  session: Handle,
  wish: KekWish,
): { created: CreatedKek; own: WrappedPart } {
  const { api } = token.module;
  const kek = api.C_GenerateKey(
    session,
    { mechanism: pkcs11js.CKM_AES_KEY_GEN },
    newbornKekTemplate,
  );
  const { publicKey, privateKey } = generateTransportPair(token, session, 'memory');
  const wrapped = wish.recipients.map((recipient) =>
    wrapKey(api, session, oaepHash, importRecipient(api, session, recipient), kek),
  );
  const identity = identityOf(api, session, kek);
  const made: WrappedNewKek = { ...identity, wrapped, oaepHash };
  const mac = cmacOf(api, session, kek, Buffer.from(wish.macText(made)));
  const voucherMac = vouch(token, session, wish, made);
  const own = wrapKey(api, session, oaepHash, publicKey, kek);
  api.C_DestroyObject(session, kek);
  const part = { ...identity, oaepHash, privateKey, wrapped: own, label: wish.label };
  return { created: { ...made, mac, voucherMac }, own: part };
}

function vouch(token: Token, session: Handle, wish: KekWish, made: WrappedNewKek): string | null {
  const { vouchedBy } = wish;
  if (vouchedBy === null) return null;
  const by = findKeks(token).keks.find((kek) => isSameKek(kek, vouchedBy));
  if (by === undefined) throw cannotVouch(vouchedBy);
  return cmacOf(token.module.api, session, by.handle, Buffer.from(wish.vouchText(made)));
}

function describe(token: Token, { fp, check, handle }: FoundKek): KekDescription {
  const [label, sensitive, extractable] = token.module.api
    .C_GetAttributeValue(token.anchor, handle, [
      { type: pkcs11js.CKA_LABEL },
      { type: pkcs11js.CKA_SENSITIVE },
      { type: pkcs11js.CKA_EXTRACTABLE },
    ])
    .map(({ value }) => value);
  return {
    ...{ fp, check },
    label: label?.toString('utf8') ?? '',
    sensitive: sensitive?.[0] === 1,
    extractable: extractable?.[0] !== 0,
  };
}

function cannotVouch({ fp }: KekIdentity): KleidiError {
  return new KleidiError(
    'kek-missing',
    `the token of this host does not hold KEK ${fp}, which would vouch for the new one; nothing was changed`,
    {
      hint: 'make the KEK on a member that holds the write KEK, or bring that one here first: kleidi join',
    },
  );
}

/** For whatever writes to the token, in a session of its own: what is made in its memory ends with it. */
export async function inSession(
  token: Token,
  what: string,
  work: (session: Handle) => Promise<void>,
): Promise<void> {
  const session = openSession(token);
  try {
    await work(session);
  } catch (error) {
    throw toWriteError(error, what);
  } finally {
    token.closeSession(session);
  }
}

function openSession(token: Token): Handle {
  try {
    return token.newSession();
  } catch (error) {
    throw toWriteError(error, 'no session could be opened');
  }
}

export function toWriteError(error: unknown, what: string): KleidiError {
  if (error instanceof KleidiError) return error;
  return new KleidiError('module-failed', `${what}: ${ckrText(error)}`, {
    hint: 'check free space, the owner of the token folder, and that the token is not read-only',
    cause: error,
  });
}
