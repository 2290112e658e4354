// What was changed by chance: kleidi and test/formats in Go both take it, for the same, or
// both refuse it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Bundle, bundleSha256 } from '../../src/keyring/bundle.ts';
import { parseBundle } from '../../src/keyring/bundlefile.ts';
import { parseRing, type Ring } from '../../src/keyring/ring.ts';
import { missingFormatsProgram, type Question } from '../support/formatsprogram.ts';
import { formatVectors } from '../support/formatvectors.ts';
import { bundleOf, kleidi, refused, requireAgreement, ringOf, type Sealed } from './agreement.ts';
import { madeOf } from './generated.ts';
import { type Choice, choices, mutated } from './mutation.ts';

const vectors = formatVectors();
const all = madeOf(1_000);

/** Of what the page says that it holds, in any order of fields. */
function meaning(question: Question): unknown {
  if (question.do === 'bundle') return parseBundle(String(question['text']), 'bundle');
  const { keks, ...ring }: Ring = parseRing(String(question['text']), 'ring');
  const sorted = keks.map(({ created: _, ...kek }) => kek).sort((a, b) => (a.fp < b.fp ? -1 : 1));
  return { ...ring, generation: ring.generation + 0, keks: sorted };
}

function fix(value: unknown): void {
  const bundle = value as Bundle & { sha256: unknown };
  try {
    bundle.sha256 = bundleSha256(bundle);
  } catch {
    // It has lost its form: no checksum makes it right.
  }
}

suite('two implementations agree', { skip: missingFormatsProgram() }, () => {
  for (const [what, count, originalOf] of [
    ['bundles', 7_000, bundleOf],
    ['rings', 3_000, ringOf],
  ] as const) {
    test(`on ${count} mutated ${what}: both take one, or both refuse it`, (t) => {
      const pairs = choices(count).map((choice): readonly [Question, Question] => {
        const original = originalOf(all[choice.of % all.length] ?? assert.fail('none'));
        const text = mutated(String(original['text']), choice, what === 'bundles' ? fix : () => {});
        return [original, { ...original, text }];
      });
      const sum = requireAgreement(pairs.map(([, question]) => question));
      // Go has given the same answers, so those of kleidi stand for both.
      const said = { same: 0, other: 0 };
      for (const [original, question] of pairs) {
        const answer = kleidi(question);
        if (answer === refused) continue;
        const isSame = isDeepStrictEqual(meaning(question), meaning(original));
        assert.equal(isDeepStrictEqual(answer, kleidi(original)), isSame, String(question['text']));
        said[isSame ? 'same' : 'other'] += 1;
      }
      t.diagnostic(JSON.stringify({ ...sum, ...said }));
      assert.ok(sum.refused > count / 4 && said.same > count / 50 && said.other > count / 50);
    });
  }

  test('on mutated requests, backups and ciphertexts', (t) => {
    const sealed = JSON.parse(readFileSync('test/vectors/envelope-v1.json', 'utf8')) as Sealed[];
    const changedText = (kind: 'request' | 'backup') => (choice: Choice) => ({
      do: kind,
      text: mutated(vectors[kind].text, choice, () => {}),
    });
    const changedSeal = (choice: Choice): Question => {
      const { kek, ring, keyId, ciphertext } = sealed[choice.of % sealed.length] ?? assert.fail();
      const bytes = Buffer.from(ciphertext, 'hex');
      const end = choice.how % 5 === 0 ? choice.what % (bytes.length + 1) : bytes.length;
      const at = choice.where % (choice.how % 5 < 3 ? 24 : bytes.length);
      if (choice.how % 5 !== 4) bytes[at] = (bytes[at] ?? 0) ^ (1 << (choice.what % 8));
      const id = choice.how % 5 === 4 ? keyId.replace(/\.\d+\./, `.${choice.what % 12}.`) : keyId;
      const text = bytes.subarray(0, end).toString('hex');
      return { do: 'decrypt', kek, ring, keyId: id, ciphertext: text };
    };
    const counts = [
      requireAgreement(choices(1_000, 1).map(changedText('request'))),
      requireAgreement(choices(1_000, 2).map(changedText('backup'))),
      requireAgreement(choices(1_000, 3).map(changedSeal)),
    ];
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.every(({ taken, refused: no }) => taken > 5 && no > 500));
  });
});
