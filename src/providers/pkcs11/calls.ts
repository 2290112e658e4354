// What a provider asks of an open token, wherever the calls to the module run: in
// this thread (LocalToken) or in threads of their own (PooledToken).
import type { Fingerprint, KekIdentity } from '../provider.ts';
import type { HeldKeks } from './kek.ts';
import type { FoundKek } from './scheme.ts';

/** Where calls to the module run. */
export type CallMode = 'in-thread' | 'threads';

/** Each rejects with what pkcs11js threw, or with KleidiError. */
export interface TokenCalls {
  readonly mode: CallMode;
  /** Of the module, one line for people. */
  readonly description: string;
  seal(kek: FoundKek, plaintext: Buffer, aad: Buffer): Promise<Buffer>;
  unseal(kek: FoundKek, body: Buffer, aad: Buffer): Promise<Buffer>;
  identify(kek: FoundKek): Promise<KekIdentity>;
  /** Opens the anchor session anew and logs in where needed, then looks for the KEKs. */
  find(wanted: ReadonlySet<Fingerprint>, held: HeldKeks): Promise<HeldKeks>;
  /** Finalises the module, unless a call is stuck in it: unloading would crash then. */
  close(): Promise<void>;
}
