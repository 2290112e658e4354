// kleidi token-work: writes to the token on behalf of another verb, in a child
// that runs as the owner of the token folder. Not for people: one job as a JSON
// line on standard input, answers on standard output.
import { KleidiError } from '../errors.ts';
import { failureLine } from '../providers/pkcs11/child.ts';
import { Pkcs11KekCreator } from '../providers/pkcs11/creation.ts';
import { Pkcs11TokenInitializer } from '../providers/pkcs11/initialization.ts';
import { Pkcs11Module } from '../providers/pkcs11/module.ts';
import { RefusedPin } from '../providers/pkcs11/pin.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/pkcs11.ts';
import { Token } from '../providers/pkcs11/token.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { openSeeds } from './openseeds.ts';
import { print } from './terminal.ts';
import { readJob } from './tokenjob.ts';
import type { Verb } from './verb.ts';

export type TokenJob =
  | { readonly kind: 'initialize'; readonly soPin: string }
  | { readonly kind: 'list' }
  | { readonly kind: 'create'; readonly label: string; readonly spkis: readonly string[] }
  | { readonly kind: 'destroy'; readonly fp: Fingerprint }
  /** The seeds follow, one a line. */
  | { readonly kind: 'open'; readonly fps: readonly Fingerprint[] };

export interface TokenRequest {
  readonly settings: Pkcs11Settings;
  readonly pin: string;
  readonly job: TokenJob;
}

type Lines = AsyncGenerator<Record<string, unknown>>;

export const tokenWork: Verb = {
  hidden: true,
  help: 'usage: kleidi token-work\n\nUsed by provision, key and snapshot; see there.',

  async run() {
    const lines = readJob();
    try {
      const request = (await lines.next()).value as unknown as TokenRequest;
      answer(await perform(request, lines));
      return 0;
    } catch (error) {
      answer(failureLine(error));
      return 1;
    }
  },
};

async function perform(request: TokenRequest, lines: Lines): Promise<object> {
  const { settings, pin, job } = request;
  if (job.kind === 'open') {
    await openSeeds(settings, pin, job.fps, lines, answer);
    return { done: true };
  }
  const module = Pkcs11Module.open(settings.module, settings.softhsmConf);
  try {
    if (job.kind === 'initialize') {
      await new Pkcs11TokenInitializer(module).initializeToken(settings.token, job.soPin, pin);
      return { done: true };
    }
    const refusedPin = new RefusedPin(settings.runtimeDir);
    const token = await Token.open(module, {
      label: settings.token,
      pin,
      refusedPin,
      writable: true,
    });
    const creator = new Pkcs11KekCreator(token);
    if (job.kind === 'list') return { keks: await creator.describeKeks() };
    if (job.kind === 'destroy') return { destroyed: await creator.destroyKek(job.fp) };
    return await create(creator, job, () => parentAgrees(lines));
  } finally {
    module.close();
  }
}

/** Reports the wrapped KEK, and keeps it only once the parent has stored that. */
async function create(
  creator: Pkcs11KekCreator,
  job: Extract<TokenJob, { kind: 'create' }>,
  goOn: () => Promise<void>,
): Promise<object> {
  const recipients = job.spkis.map((spki) => ({ spki: Buffer.from(spki, 'base64') }));
  const { fp } = await creator.createKek(recipients, job.label, async (kek) => {
    const wrapped = kek.wrapped.map((part) => part.toString('base64'));
    answer({ fp: kek.fp, wrapped, oaepHash: kek.oaepHash });
    await goOn();
  });
  return { kept: fp };
}

/** A parent that has died must not leave a KEK behind that nothing knows of. */
async function parentAgrees(lines: AsyncIterator<unknown>): Promise<void> {
  if ((await lines.next()).done === true) {
    throw new KleidiError('refused', 'the command ended before the KEK was kept');
  }
}

function answer(value: object): void {
  print(JSON.stringify(value));
}
