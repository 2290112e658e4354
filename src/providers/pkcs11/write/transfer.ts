// Takes KEKs into the token that other hosts, or the recovery key, have wrapped
// for its transport key. All is checked in memory before anything persists.
// Never reached from `serve`.
import { KleidiError } from '../../../errors.ts';
import { isSameKek } from '../../kekidentity.ts';
import type { ArrivingKek, Fingerprint, ImportHooks, VerifiedVoucher } from '../../provider.ts';
import { findKeks } from '../aeskek.ts';
import { cmacOf } from '../identity.ts';
import type { Handle } from '../module.ts';
import type { FoundKek } from '../scheme.ts';
import type { Token } from '../token.ts';
import { inSession, toWriteError } from './creation.ts';
import type { WrappedPart } from './oaep.ts';
import { destroyHalfMade } from './remains.ts';
import {
  destroyTransportKeys,
  makeTransportKey,
  openTransportKeys,
  type TransportKey,
} from './transport.ts';
import { unwrapIntoMemory, unwrapIntoToken } from './unwrapping.ts';

/**
 * The one-shot transport key of this token: the open one, or a new one. Its private half
 * never leaves the token and unwraps, nothing else.
 * @param token opened writable
 * @param renew destroys an open one first: bundles for it are void then
 */
export function requestTransport(token: Token, renew: boolean): TransportKey {
  try {
    const open = renew ? [] : openTransportKeys(token).slice(0, 1);
    destroyTransportKeys(token, open);
    return open[0] ?? makeTransportKey(token);
  } catch (error) {
    throw toWriteError(error, 'the transport key cannot be made');
  }
}

/**
 * Unwraps the KEKs that the token lacks. Every fingerprint, check and CMAC is checked
 * before anything persists, and every voucher of a KEK that is here. Last the transport
 * key that the KEKs came for is destroyed. KEKs that are held already are checked, and
 * left alone.
 * @param token opened writable
 */
export function importKeks(
  token: Token,
  label: string,
  keks: readonly ArrivingKek[],
  hooks: ImportHooks,
): Promise<void> {
  return inSession(token, 'the KEKs cannot be imported', async (session) => {
    const transport = transportFor(token, keks);
    const findings = findKeks(token);
    const held = new Map(findings.keks.map((kek) => [kek.fp, kek]));
    const parts = missingParts({ token, session, held }, keks, transport, label);
    const missing = parts.map(({ fp }) => fp);
    const vouchers = verifyVouchers({ token, session, held }, keks);
    await hooks.beforePersist({ missing, vouchers });
    destroyHalfMade(token, findings, new Set(missing));
    for (const part of parts) unwrapIntoToken(token, session, part);
    await hooks.beforeTransportKeyDestroyed();
    if (transport !== undefined) {
      token.module.api.C_DestroyObject(token.anchor, transport.privateKey);
    }
  });
}

function transportFor(token: Token, keks: readonly ArrivingKek[]): TransportKey | undefined {
  return openTransportKeys(token).find((transport) =>
    keks.some((kek) => wrappedFor(kek, transport) !== undefined),
  );
}

interface Import {
  readonly token: Token;
  readonly session: Handle;
  /** Grows by what was unwrapped. */
  readonly held: Map<Fingerprint, FoundKek>;
}

/** What the token lacks, unwrapped once and found to be what it says. */
function missingParts(
  { token, session, held }: Import,
  keks: readonly ArrivingKek[],
  transport: TransportKey | undefined,
  label: string,
): WrappedPart[] {
  return keks.flatMap((kek) => {
    const mine = held.get(kek.fp);
    if (mine !== undefined) {
      if (!isSameKek(mine, kek))
        throw refused(kek.fp, 'this token holds another key of that fingerprint');
      requireMac(token, session, kek, mine.handle);
      return [];
    }
    const part = partFor(kek, transport, label);
    const handle = unwrapIntoMemory(token, session, part);
    requireMac(token, session, kek, handle);
    held.set(kek.fp, { fp: kek.fp, check: kek.check, handle });
    return [part];
  });
}

/** A voucher of a KEK that is not here says nothing; one that is false, that somebody lies. */
function verifyVouchers(
  { token, session, held }: Import,
  keks: readonly ArrivingKek[],
): VerifiedVoucher[] {
  return keks.flatMap((kek) =>
    kek.vouchers.flatMap(({ by, mac }) => {
      const voucher = held.get(by);
      if (voucher === undefined) return [];
      const text = Buffer.from(kek.vouchText);
      const right = cmacOf(token.module.api, session, voucher.handle, text);
      if (right !== mac) throw refused(kek.fp, `the voucher of KEK ${by} for it is false`);
      const { fp, check } = voucher;
      return [{ kek: { fp: kek.fp, check: kek.check }, by: { fp, check } }];
    }),
  );
}

function requireMac(token: Token, session: Handle, kek: ArrivingKek, handle: Handle): void {
  const mac = cmacOf(token.module.api, session, handle, Buffer.from(kek.macText));
  if (mac !== kek.mac) throw refused(kek.fp, 'what the bundle says of it was changed');
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
