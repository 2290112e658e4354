// What kleidi answers to the questions that test/formats/main.go answers, and whether the
// two are the same.
import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { parseBackup } from '../../src/keyring/backup.ts';
import { type Bundle, bundleSha256, macText, vouchedOf } from '../../src/keyring/bundle.ts';
import { parseBundle } from '../../src/keyring/bundlefile.ts';
import { aesCmac, identityOfKek } from '../../src/keyring/cmac.ts';
import { openableDigest, ringDigest } from '../../src/keyring/digest.ts';
import { additionalData, open } from '../../src/keyring/envelope.ts';
import { parseKeyId } from '../../src/keyring/keyid.ts';
import { parseRequest } from '../../src/keyring/request.ts';
import { formatRing, parseRing } from '../../src/keyring/ring.ts';
import { vouchText } from '../../src/keyring/voucher.ts';
import { type Answer, ask, type Question } from '../support/formatsprogram.ts';
import type { Made } from './generated.ts';

export const refused = { refused: true } as const;

/** What kleidi answers to a question. */
export function kleidi(question: Question): Answer {
  try {
    return answerTo(question);
  } catch (error) {
    assert.equal(error instanceof TypeError || error instanceof RangeError, false, String(error));
    return refused;
  }
}

function answerTo(question: Question): Answer {
  const text = String(question['text']);
  switch (question.do) {
    case 'ring': {
      const ring = parseRing(text, 'ring');
      return { digest: ringDigest(ring), openable: openableDigest(ring) };
    }
    case 'bundle':
      return bundleAnswer(parseBundle(text, 'bundle'), question['keks'] as readonly string[]);
    case 'request': {
      const { fingerprint, recipient } = parseRequest(text);
      return { fingerprint, recipient };
    }
    case 'backup': {
      parseBackup(text, 'backup');
      return { sha256: (JSON.parse(text) as { sha256: string }).sha256 };
    }
    case 'decrypt':
      return { plaintext: decrypted(question as unknown as Sealed).toString('hex') };
    default:
      throw new TypeError(question.do);
  }
}

function bundleAnswer(bundle: Bundle, materials: readonly string[]): Answer {
  const keys = materials.map((hex) => Buffer.from(hex, 'hex'));
  const keyOf = new Map(keys.map((key) => [identityOfKek(key).fp, key]));
  const cmac = (key: Buffer, text: string): string =>
    aesCmac(key, Buffer.from(text)).toString('hex');
  const macs = bundle.keks.flatMap((kek) => {
    const key = keyOf.get(kek.fp);
    if (key === undefined) return [];
    return [identityOfKek(key).check === kek.check && cmac(key, macText(bundle, kek)) === kek.mac];
  });
  const vouchers = bundle.keks.flatMap((kek) =>
    kek.vouchers.flatMap(({ by, mac }) => {
      const key = keyOf.get(by);
      return key === undefined ? [] : [cmac(key, vouchText(bundle.ringId, vouchedOf(kek))) === mac];
    }),
  );
  const carried = bundle.carried && ringDigest(bundle.carried);
  return { sha256: bundleSha256(bundle), macs, vouchers, carried };
}

export interface Sealed {
  readonly kek: string;
  readonly ring: string;
  readonly keyId: string;
  readonly ciphertext: string;
}

/** With kleidi's rules, as kms/service.ts has them, and a KEK that is no token's. */
function decrypted({ kek, ring, keyId, ciphertext }: Sealed): Buffer {
  const key = Buffer.from(kek, 'hex');
  const { alg, fp, body } = open(Buffer.from(ciphertext, 'hex'));
  const id = parseKeyId(keyId);
  if (id.ring !== ring || id.fp !== fp || fp !== identityOfKek(key).fp || alg !== 1) {
    throw new Error('another KEK');
  }
  const opened = createDecipheriv('aes-256-gcm', key, body.subarray(0, 12), { authTagLength: 16 });
  opened.setAAD(additionalData(alg, fp, keyId)).setAuthTag(body.subarray(-16));
  return Buffer.concat([opened.update(body.subarray(12, -16)), opened.final()]);
}

/** Without Go's reason: each says it in its own words. */
function plain(answer: Answer): Answer {
  return 'refused' in answer ? refused : answer;
}

interface Count {
  taken: number;
  refused: number;
}

export function requireAgreement(questions: readonly Question[]): Count {
  const count = { taken: 0, refused: 0 };
  for (const [i, answer] of ask(questions).entries()) {
    const question = questions[i] ?? assert.fail('an answer too many');
    const mine = kleidi(question);
    if (!isDeepStrictEqual(mine, plain(answer))) {
      const what = JSON.stringify({ question, kleidi: mine, go: answer }, null, 1);
      assert.fail(`they differ: ${what.slice(0, 12_000)}`);
    }
    count[mine === refused ? 'refused' : 'taken'] += 1;
  }
  assert.equal(count.taken + count.refused, questions.length);
  return count;
}

export const bundleOf = ({ bundle, materials }: Made): Question => ({
  ...{ do: 'bundle', text: bundle, keks: materials },
});
export const ringOf = ({ ring }: Made): Question => ({ do: 'ring', text: formatRing(ring) });
