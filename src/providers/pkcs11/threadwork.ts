// The side of a token thread that calls the module. It keeps its module and its
// session; where the token is (slot, anchor session) comes with each request,
// because handles are good in the whole process and another thread may have
// opened the token anew.
import { randomBytes } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import { selfTestAad } from '../domainseparation.ts';
import type { Fingerprint, KekIdentity } from '../provider.ts';
import { isFast } from './callmode.ts';
import type { HeldKeks } from './kek.ts';
import { LocalToken } from './local.ts';
import { type Answer, buffersOf, failure, packed, type Request, unpacked } from './messages.ts';
import { Pkcs11Module } from './module.ts';
import { RefusedPin } from './refusedpin.ts';
import type { FoundKek } from './scheme.ts';
import { schemeOf } from './schemes.ts';
import type { Pkcs11Settings } from './settings.ts';
import { type Place, Token, type TokenAccess } from './token.ts';

export class ThreadWork {
  #module: Pkcs11Module | undefined;
  #local: LocalToken | undefined;

  /** @returns what the module says it is */
  initialize({ module, softhsmConf }: Pkcs11Settings): string {
    this.#module = Pkcs11Module.open(module, softhsmConf);
    return this.#module.description;
  }

  async login(settings: Pkcs11Settings, pin: string): Promise<Place> {
    const scheme = schemeOf(settings);
    const access = accessOf(settings, pin);
    const token = await Token.open(this.#opened(), access, scheme.mechanisms);
    this.#local = new LocalToken(token, scheme);
    return token.place;
  }

  /** Another thread has opened the token. */
  join(settings: Pkcs11Settings, pin: string, place: Place): void {
    const token = Token.at(this.#opened(), accessOf(settings, pin), place);
    this.#local = new LocalToken(token, schemeOf(settings));
  }

  async find(
    place: Place,
    wanted: readonly Fingerprint[],
    held: HeldKeks,
  ): Promise<{ place: Place; keks: HeldKeks }> {
    const local = this.#at(place);
    const keks = await local.find(new Set(wanted), held);
    return { place: local.token.place, keks };
  }

  async seal(place: Place, kek: FoundKek, plaintext: Buffer, aad: Buffer): Promise<Buffer> {
    try {
      return await this.#at(place).seal(kek, plaintext, aad);
    } finally {
      plaintext.fill(0);
    }
  }

  unseal(place: Place, kek: FoundKek, body: Buffer, aad: Buffer): Promise<Buffer> {
    return this.#at(place).unseal(kek, body, aad);
  }

  identify(place: Place, kek: FoundKek): Promise<KekIdentity> {
    return this.#at(place).identify(kek);
  }

  isFast(place: Place, kek: FoundKek): Promise<boolean> {
    const local = this.#at(place);
    return isFast(async () => {
      await local.unseal(kek, await local.seal(kek, randomBytes(32), selfTestAad), selfTestAad);
    });
  }

  /** @param finalize false where other threads go on with the module */
  end(finalize: boolean): void {
    this.#local?.leave();
    if (finalize) this.#module?.close();
    else this.#module?.leave();
  }

  #opened(): Pkcs11Module {
    if (this.#module === undefined) throw new Error('the module is not open');
    return this.#module;
  }

  #at(place: Place): LocalToken {
    if (this.#local === undefined) throw new Error('the token is not open');
    this.#local.token.moveTo(place);
    return this.#local;
  }
}

/** Until the step `end`, which lets the thread end. */
export function serveThread(port: MessagePort): void {
  const work = new ThreadWork();
  port.on('message', async ({ step, given }: Request) => {
    const answer = await answerTo(work, step, given);
    const message = packed(answer);
    port.postMessage(message, buffersOf(message));
    // Plaintext: what was packed has gone along, this is our own.
    if (answer.kind === 'done' && answer.result instanceof Uint8Array) answer.result.fill(0);
    if (step === 'end') port.close();
  });
}

async function answerTo(
  work: ThreadWork,
  step: string,
  given: readonly unknown[],
): Promise<Answer> {
  try {
    const run = Reflect.get(work, step) as (...given: readonly unknown[]) => unknown;
    return { kind: 'done', result: await run.apply(work, unpacked(given) as unknown[]) };
  } catch (error) {
    return failure(error);
  }
}

function accessOf({ token, runtimeDir }: Pkcs11Settings, pin: string): TokenAccess {
  return { label: token, pin, refusedPin: new RefusedPin(runtimeDir), writable: false };
}
