// Makes KEKs. A new KEK is extractable only as an object in memory; it is
// wrapped for every recipient and for a transport key of this very run, and kept
// by unwrapping that: the same path, and so the same attributes, as on any other
// host. Never reached from `serve`.
import pkcs11js from 'pkcs11js';
import { KleidiError } from '../../errors.ts';
import type {
  CreatedKek,
  Fingerprint,
  KekCreator,
  KekDescription,
  Recipient,
} from '../provider.ts';
import { ckrText } from './ckr.ts';
import { fingerprintOf } from './fingerprint.ts';
import { findKeks } from './kek.ts';
import type { Handle } from './module.ts';
import { importRecipient, type OaepHash, unwrapKey, wrapKey } from './oaep.ts';
import { kekTemplate, newbornKekTemplate, transportTemplates } from './template.ts';
import type { Token } from './token.ts';

/** All SoftHSM can do; modules that can do more are asked for it by issue of a bundle. */
const oaepHash: OaepHash = 'sha1';

export class Pkcs11KekCreator implements KekCreator {
  readonly #token: Token;

  /** @param token opened writable */
  constructor(token: Token) {
    this.#token = token;
  }

  async createKek(
    recipients: readonly Recipient[],
    label: string,
    beforeKeeping: (kek: CreatedKek) => Promise<void>,
  ): Promise<CreatedKek> {
    const session = this.#openSession();
    try {
      const { created, own, privateKey } = this.#make(session, recipients);
      await beforeKeeping(created);
      this.#keep(session, privateKey, own, created.fp, label);
      return created;
    } catch (error) {
      throw translate(error, 'the KEK cannot be created');
    } finally {
      // Takes the newborn KEK and the transport key with it: both live in this session.
      this.#token.closeSession(session);
    }
  }

  async describeKeks(): Promise<readonly KekDescription[]> {
    try {
      return findKeks(this.#token).keks.map(({ fp, handle }) => this.#describe(fp, handle));
    } catch (error) {
      throw translate(error, 'the KEKs cannot be listed');
    }
  }

  async destroyKek(fp: Fingerprint): Promise<boolean> {
    try {
      const found = findKeks(this.#token).keks.filter((kek) => kek.fp === fp);
      for (const { handle } of found) {
        this.#token.module.api.C_DestroyObject(this.#token.anchor, handle);
      }
      return found.length > 0;
    } catch (error) {
      throw translate(error, `KEK ${fp} cannot be destroyed`);
    }
  }

  #openSession(): Handle {
    try {
      return this.#token.newSession();
    } catch (error) {
      throw translate(error, 'no session could be opened');
    }
  }

  #make(session: Handle, recipients: readonly Recipient[]) {
    const { api } = this.#token.module;
    const kek = api.C_GenerateKey(
      session,
      { mechanism: pkcs11js.CKM_AES_KEY_GEN },
      newbornKekTemplate,
    );
    const fp = fingerprintOf(api, session, kek);
    const transport = api.C_GenerateKeyPair(
      session,
      { mechanism: pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN },
      transportTemplates.public,
      transportTemplates.private,
    );
    const wrapped = recipients.map((recipient) =>
      wrapKey(api, session, oaepHash, importRecipient(api, session, recipient), kek),
    );
    const own = wrapKey(api, session, oaepHash, transport.publicKey, kek);
    api.C_DestroyObject(session, kek);
    const created: CreatedKek = { fp, wrapped, oaepHash };
    return { created, own, privateKey: transport.privateKey };
  }

  /** First into memory, to compare the fingerprint before anything persists. */
  #keep(session: Handle, privateKey: Handle, own: Buffer, fp: Fingerprint, label: string): void {
    const { api } = this.#token.module;
    const id = Buffer.from(fp, 'hex');
    for (const place of ['memory', 'token'] as const) {
      const template = kekTemplate(place, label, id);
      const kek = unwrapKey(api, session, oaepHash, privateKey, own, template);
      if (fingerprintOf(api, session, kek) === fp) continue;
      api.C_DestroyObject(session, kek);
      throw new KleidiError('module-failed', 'the unwrapped KEK is not the one that was wrapped', {
        hint: 'the PKCS#11 module does not do RSA-OAEP as the standard says: do not use it',
      });
    }
  }

  #describe(fp: Fingerprint, handle: Handle): KekDescription {
    const [label, sensitive, extractable] = this.#token.module.api
      .C_GetAttributeValue(this.#token.anchor, handle, [
        { type: pkcs11js.CKA_LABEL },
        { type: pkcs11js.CKA_SENSITIVE },
        { type: pkcs11js.CKA_EXTRACTABLE },
      ])
      .map(({ value }) => value);
    return {
      fp,
      label: label?.toString('utf8') ?? '',
      sensitive: sensitive?.[0] === 1,
      extractable: extractable?.[0] !== 0,
    };
  }
}

function translate(error: unknown, what: string): KleidiError {
  if (error instanceof KleidiError) return error;
  return new KleidiError('module-failed', `${what}: ${ckrText(error)}`, {
    hint: 'check free space, the owner of the token folder, and that the token is not read-only',
    cause: error,
  });
}
