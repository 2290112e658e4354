// The vectors of alg 0x03, KEKs of a TPM: opened by the program in Go, and what must be refused
// is refused. kleidi opens its own alone, by a TPM: integration/tpmkek.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { open } from '../../src/keyring/envelope.ts';
import { ask, missingFormatsProgram, type Question } from '../support/formatsprogram.ts';

interface Sealed {
  /** Place among the KEKs. */
  readonly kek: number;
  readonly ring: string;
  readonly keyId: string;
  readonly ciphertext: string;
}

interface Vectors {
  readonly keks: readonly Record<'rsa' | 'hmac' | 'fp' | 'check', string>[];
  readonly sealed: readonly (Sealed & { readonly plaintext: string })[];
  readonly forged: Sealed;
}

const vectors = JSON.parse(readFileSync('test/vectors/tpm-v1.json', 'utf8')) as Vectors;

function questionOf({ kek, ring, keyId, ciphertext }: Sealed): Question {
  const { rsa, hmac } = vectors.keks[kek] ?? assert.fail('no such KEK');
  return { do: 'tpmdecrypt', rsa, hmac, ring, keyId, ciphertext };
}

/** Bit 0 of each byte in turn. */
function changed(sealed: Sealed): Sealed[] {
  return Array.from({ length: sealed.ciphertext.length / 2 }, (_, at) => {
    const bytes = Buffer.from(sealed.ciphertext, 'hex');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return { ...sealed, ciphertext: bytes.toString('hex') };
  });
}

suite('KEKs of a TPM', { skip: missingFormatsProgram() }, () => {
  test('fingerprint and check cover both keys', () => {
    const answers = ask(vectors.keks.map(({ rsa, hmac }) => ({ do: 'tpmkek', rsa, hmac })));
    const due = vectors.keks.map(({ fp, check }) => ({ fp, check }));
    assert.deepEqual(answers, due);
    const [one, two] = vectors.keks;
    const mixed = ask([{ do: 'tpmkek', rsa: one?.rsa, hmac: two?.hmac }])[0];
    assert.ok(due.every(({ fp }) => fp !== mixed?.['fp']));
  });

  test('each ciphertext opens', () => {
    const due = vectors.sealed.map(({ plaintext }) => ({ plaintext }));
    assert.deepEqual(ask(vectors.sealed.map(questionOf)), due);
  });

  test('what the public key alone has made does not, nor with any byte changed, nor under another key id', () => {
    assert.match(String(ask([questionOf(vectors.forged)])[0]?.['refused']), /the MAC/);
    const [first = assert.fail('none')] = vectors.sealed;
    const others = [
      ...changed(first),
      { ...first, keyId: first.keyId.replace('.1.', '.2.') },
      { ...first, ciphertext: first.ciphertext.slice(0, -2) },
      { ...first, ciphertext: `${first.ciphertext}00` },
    ];
    for (const [i, answer] of ask(others.map(questionOf)).entries()) {
      assert.ok('refused' in answer, `number ${i} opens`);
    }
  });

  test('kleidi reads the same of each before it asks the TPM, and the forged one is for the MAC to tell', () => {
    for (const sealed of [...vectors.sealed, vectors.forged]) {
      const { alg, fp, body } = open(Buffer.from(sealed.ciphertext, 'hex'));
      assert.deepEqual([alg, fp, body.length], [3, vectors.keks[sealed.kek]?.fp, 256 + 32]);
      assert.throws(() => open(Buffer.from(sealed.ciphertext, 'hex').subarray(0, -1)), /cut short/);
    }
  });
});
