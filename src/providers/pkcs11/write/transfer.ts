// Takes KEKs into the token that other hosts, or the recovery key, have wrapped
// for its transport key. All is checked in memory before anything persists.
// Never reached from `serve`.
import { KleidiError } from '../../../errors.ts';
import { isSameKek } from '../../kekidentity.ts';
import type {
  ArrivingKek,
  Fingerprint,
  ImportHooks,
  KekTransfer,
  Recipient,
  VerifiedVoucher,
} from '../../provider.ts';
import { cmacOf } from '../identity.ts';
import { type FoundKek, findKeks } from '../kek.ts';
import type { Handle } from '../module.ts';
import type { Token } from '../token.ts';
import { toWriteError } from './creation.ts';
import type { WrappedPart } from './oaep.ts';
import { destroyHalfMade } from './remains.ts';
import {
  destroyTransportKeys,
  makeTransportKey,
  openTransportKeys,
  type TransportKey,
} from './transport.ts';
import { unwrapIntoMemory, unwrapIntoToken } from './unwrapping.ts';

export class Pkcs11KekTransfer implements KekTransfer {
  readonly #token: Token;

  /** @param token opened writable */
  constructor(token: Token) {
    this.#token = token;
  }

  async requestTransport(renew: boolean): Promise<Recipient> {
    try {
      const open = renew ? [] : openTransportKeys(this.#token).slice(0, 1);
      destroyTransportKeys(this.#token, open);
      return open[0] ?? makeTransportKey(this.#token);
    } catch (error) {
      throw toWriteError(error, 'the transport key cannot be made');
    }
  }

  async importKeks(label: string, keks: readonly ArrivingKek[], hooks: ImportHooks): Promise<void> {
    const session = this.#openSession();
    try {
      const transport = this.#transportFor(keks);
      const findings = findKeks(this.#token);
      const held = new Map(findings.keks.map((kek) => [kek.fp, kek]));
      const parts = this.#check(session, keks, held, transport, label);
      const missing = parts.map(({ fp }) => fp);
      const vouchers = this.#verifyVouchers(session, keks, held);
      await hooks.beforePersist({ missing, vouchers });
      destroyHalfMade(this.#token, findings, new Set(missing));
      for (const part of parts) unwrapIntoToken(this.#token, session, part);
      await hooks.beforeTransportKeyDestroyed();
      if (transport !== undefined) this.#close(transport);
    } catch (error) {
      throw toWriteError(error, 'the KEKs cannot be imported');
    } finally {
      // Takes what was unwrapped into memory with it.
      this.#token.closeSession(session);
    }
  }

  #openSession(): Handle {
    try {
      return this.#token.newSession();
    } catch (error) {
      throw toWriteError(error, 'no session could be opened');
    }
  }

  #transportFor(keks: readonly ArrivingKek[]): TransportKey | undefined {
    return openTransportKeys(this.#token).find((transport) =>
      keks.some((kek) => wrappedFor(kek, transport) !== undefined),
    );
  }

  /**
   * What the token lacks, unwrapped once and found to be what it says.
   * @param here grows by what was unwrapped
   */
  #check(
    session: Handle,
    keks: readonly ArrivingKek[],
    here: Map<Fingerprint, FoundKek>,
    transport: TransportKey | undefined,
    label: string,
  ): WrappedPart[] {
    return keks.flatMap((kek) => {
      const mine = here.get(kek.fp);
      if (mine !== undefined) {
        this.#requireSame(session, kek, mine);
        return [];
      }
      const part = partFor(kek, transport, label);
      const handle = unwrapIntoMemory(this.#token, session, part);
      this.#requireMac(session, kek, handle);
      here.set(kek.fp, { fp: kek.fp, check: kek.check, handle });
      return [part];
    });
  }

  /** A voucher of a KEK that is not here says nothing; one that is false, that somebody lies. */
  #verifyVouchers(
    session: Handle,
    keks: readonly ArrivingKek[],
    here: ReadonlyMap<Fingerprint, FoundKek>,
  ): VerifiedVoucher[] {
    const { api } = this.#token.module;
    return keks.flatMap((kek) =>
      kek.vouchers.flatMap(({ by, mac }) => {
        const voucher = here.get(by);
        if (voucher === undefined) return [];
        const right = cmacOf(api, session, voucher.handle, Buffer.from(kek.vouchText));
        if (right !== mac) throw refused(kek.fp, `the voucher of KEK ${by} for it is false`);
        const { fp, check } = voucher;
        return [{ kek: { fp: kek.fp, check: kek.check }, by: { fp, check } }];
      }),
    );
  }

  #requireSame(session: Handle, kek: ArrivingKek, mine: FoundKek): void {
    if (!isSameKek(mine, kek))
      throw refused(kek.fp, 'this token holds another key of that fingerprint');
    this.#requireMac(session, kek, mine.handle);
  }

  #requireMac(session: Handle, kek: ArrivingKek, handle: Handle): void {
    const { api } = this.#token.module;
    if (cmacOf(api, session, handle, Buffer.from(kek.macText)) === kek.mac) return;
    throw refused(kek.fp, 'what the bundle says of it was changed');
  }

  #close(transport: TransportKey): void {
    this.#token.module.api.C_DestroyObject(this.#token.anchor, transport.privateKey);
  }
}

function partFor(
  kek: ArrivingKek,
  transport: TransportKey | undefined,
  label: string,
): WrappedPart {
  const { fp, check, oaepHash } = kek;
  const wrapped = transport && wrappedFor(kek, transport);
  if (transport !== undefined && wrapped !== undefined) {
    return { fp, check, oaepHash, wrapped, privateKey: transport.privateKey, label };
  }
  throw refused(fp, 'it is not wrapped for an open request of this host');
}

function wrappedFor({ parts }: ArrivingKek, { fingerprint }: TransportKey): Buffer | undefined {
  const part = parts.find(({ recipient }) => recipient === fingerprint);
  return part && Buffer.from(part.wrapped, 'base64');
}

function refused(fp: Fingerprint, why: string): KleidiError {
  return new KleidiError('refused', `KEK ${fp} is not taken: ${why}; nothing was changed`, {
    hint: 'a request is good for one import: make a new one with kleidi key request, and a bundle for it with key create --for or recovery rewrap',
  });
}
