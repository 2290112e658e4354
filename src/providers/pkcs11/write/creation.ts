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
  KekCreator,
  KekDescription,
  KekIdentity,
  KekWish,
  OaepHash,
  WrappedNewKek,
} from '../../provider.ts';
import { ckrText } from '../ckr.ts';
import { cmacOf, identityOf } from '../identity.ts';
import { type FoundKek, findKeks } from '../kek.ts';
import type { Handle } from '../module.ts';
import type { Token } from '../token.ts';
import type { WrappedPart } from './oaep.ts';
import { importRecipient, wrapKey } from './oaep.ts';
import { destroyHalfMade } from './remains.ts';
import { newbornKekTemplate, transportTemplates } from './template.ts';
import { unwrapIntoMemory, unwrapIntoToken } from './unwrapping.ts';

/** All SoftHSM can do; modules that can do more are asked for it by issue of a bundle. */
const oaepHash: OaepHash = 'sha1';

export class Pkcs11KekCreator implements KekCreator {
  readonly #token: Token;

  /** @param token opened writable */
  constructor(token: Token) {
    this.#token = token;
  }

  async createKek(wish: KekWish, beforePersist: (kek: CreatedKek) => Promise<void>): Promise<void> {
    const session = this.#openSession();
    try {
      const { created, own } = this.#make(session, wish);
      unwrapIntoMemory(this.#token, session, own);
      await beforePersist(created);
      unwrapIntoToken(this.#token, session, own);
    } catch (error) {
      throw toWriteError(error, 'the KEK cannot be created');
    } finally {
      // Takes the newborn KEK and the transport key with it: both live in this session.
      this.#token.closeSession(session);
    }
  }

  async describeKeks(): Promise<readonly KekDescription[]> {
    try {
      return findKeks(this.#token).keks.map((kek) => this.#describe(kek));
    } catch (error) {
      throw toWriteError(error, 'the KEKs cannot be listed');
    }
  }

  async destroyKek(fp: Fingerprint): Promise<boolean> {
    try {
      const findings = findKeks(this.#token);
      const found = findings.keks.filter((kek) => kek.fp === fp);
      for (const { handle } of found) {
        this.#token.module.api.C_DestroyObject(this.#token.anchor, handle);
      }
      destroyHalfMade(this.#token, findings, new Set([fp]));
      return found.length > 0;
    } catch (error) {
      throw toWriteError(error, `KEK ${fp} cannot be destroyed`);
    }
  }

  #openSession(): Handle {
    try {
      return this.#token.newSession();
    } catch (error) {
      throw toWriteError(error, 'no session could be opened');
    }
  }

  #make(session: Handle, wish: KekWish): { created: CreatedKek; own: WrappedPart } {
    const { api } = this.#token.module;
    const kek = api.C_GenerateKey(
      session,
      { mechanism: pkcs11js.CKM_AES_KEY_GEN },
      newbornKekTemplate,
    );
    const { publicKey, privateKey } = this.#makeTransportKey(session);
    const wrapped = wish.recipients.map((recipient) =>
      wrapKey(api, session, oaepHash, importRecipient(api, session, recipient), kek),
    );
    const identity = identityOf(api, session, kek);
    const made: WrappedNewKek = { ...identity, wrapped, oaepHash };
    const mac = cmacOf(api, session, kek, Buffer.from(wish.macText(made)));
    const voucherMac = this.#vouch(session, wish, made);
    const own = wrapKey(api, session, oaepHash, publicKey, kek);
    api.C_DestroyObject(session, kek);
    const part = { ...identity, oaepHash, privateKey, wrapped: own, label: wish.label };
    return { created: { ...made, mac, voucherMac }, own: part };
  }

  #vouch(session: Handle, wish: KekWish, made: WrappedNewKek): string | null {
    const { vouchedBy } = wish;
    if (vouchedBy === null) return null;
    const by = findKeks(this.#token).keks.find((kek) => isSameKek(kek, vouchedBy));
    if (by === undefined) throw cannotVouch(vouchedBy);
    return cmacOf(this.#token.module.api, session, by.handle, Buffer.from(wish.vouchText(made)));
  }

  #makeTransportKey(session: Handle): { publicKey: Handle; privateKey: Handle } {
    const templates = transportTemplates('memory');
    return this.#token.module.api.C_GenerateKeyPair(
      session,
      { mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN },
      templates.public,
      templates.private,
    );
  }

  #describe({ fp, check, handle }: FoundKek): KekDescription {
    const [label, sensitive, extractable] = this.#token.module.api
      .C_GetAttributeValue(this.#token.anchor, handle, [
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

/** For whatever writes to the token. */
export function toWriteError(error: unknown, what: string): KleidiError {
  if (error instanceof KleidiError) return error;
  return new KleidiError('module-failed', `${what}: ${ckrText(error)}`, {
    hint: 'check free space, the owner of the token folder, and that the token is not read-only',
    cause: error,
  });
}
