// The child's side of snapshot scan --verify: opens sealed seeds with the token,
// and with each the one object that came with it. Answers whether, never what.
import { KleidiError } from '../errors.ts';
import { additionalData, open } from '../keyring/envelope.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import { Pkcs11Provider } from '../providers/pkcs11/pkcs11.ts';
import type { Pkcs11Settings } from '../providers/pkcs11/settings.ts';
import type { KekIdentity, Provider } from '../providers/provider.ts';
import { opens } from '../snapshot/kubeobject.ts';
import type { SealedSeed, SeedAnswer } from './protocol.ts';

/** One answer for each line, until there are no more. */
export async function openSeeds(
  settings: Pkcs11Settings,
  pin: string,
  keks: readonly KekIdentity[],
  lines: AsyncIterable<Record<string, unknown>>,
  answer: (value: SeedAnswer) => void,
): Promise<void> {
  const provider = await Pkcs11Provider.openHere(settings, pin);
  try {
    const usable = await provider.load(keks.map(({ fp }) => fp));
    const held = [...usable].map(([fp, check]) => ({ fp, check }));
    const missing = new Set(missingKeks(keks, held).map(({ fp }) => fp));
    for await (const line of lines) {
      answer(await openOne(provider, missing, line as unknown as SealedSeed));
    }
  } finally {
    await provider.close();
  }
}

async function openOne(
  provider: Provider,
  missing: ReadonlySet<string>,
  seed: SealedSeed,
): Promise<SeedAnswer> {
  try {
    const { alg, fp, body } = open(Buffer.from(seed.source, 'base64'));
    if (missing.has(fp)) throw new KleidiError('kek-missing', `the token does not hold KEK ${fp}`);
    const plain = await provider.unwrap(fp, body, additionalData(alg, fp, seed.keyId));
    const answer = openObject(plain, seed);
    plain.fill(0);
    return answer;
  } catch (error) {
    return { hasOpenedObject: false, why: KleidiError.from(error).message };
  }
}

function openObject(plain: Buffer, { object, sourceType }: SealedSeed): SeedAnswer {
  if (object === undefined) return { hasOpenedObject: false };
  if (opens(plain, sourceType, object.key, Buffer.from(object.data, 'base64'))) {
    return { hasOpenedObject: true };
  }
  return { hasOpenedObject: false, why: 'the seed opens, the object does not' };
}
