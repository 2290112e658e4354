// Two implementations of docs/formats.md agree: kleidi, and test/formats in Go, which has
// nothing but what is on that page. What one refuses the other refuses, and what both take
// they take for the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { type BundleKek, formatBundle } from '../../src/keyring/bundle.ts';
import { wrapPin } from '../../src/keyring/pinpart.ts';
import { mlKemSeedPkcs8 } from '../../src/keyring/pkcs8.ts';
import { testKek } from '../../src/keyring/recovery.ts';
import {
  type Answer,
  ask,
  missingFormatsProgram,
  type Question,
} from '../support/formatsprogram.ts';
import { formatVectors } from '../support/formatvectors.ts';
import { knownKek, named, newHybridKey, vouched } from '../support/recoveryset.ts';
import { bundleOf, requireAgreement, ringOf, type Sealed } from './agreement.ts';
import { madeOf } from './generated.ts';
import { choices } from './mutation.ts';

const vectors = formatVectors();
const skip = missingFormatsProgram();
suite('two implementations agree', { skip }, () => {
  test('on every vector', () => {
    const { identities, ringIds, recovery, pin } = vectors;
    const keks = identities.map(({ kek }) => kek);
    const ringVector = readFileSync('test/vectors/ring-v2.json', 'utf8');
    const sealed = JSON.parse(
      readFileSync('test/vectors/envelope-v1.json', 'utf8'),
    ) as readonly (Sealed & { readonly plaintext: string })[];
    const {
      ring,
      digest,
      openableDigest: openable,
    } = JSON.parse(ringVector) as Record<'ring' | 'digest' | 'openableDigest', string>;
    const { rsaPrivate: rsa, kemSeed } = recovery;
    const pairs: readonly (readonly [Question, Answer])[] = [
      ...identities.map(({ kek, ...is }) => [{ do: 'kek', kek }, is] as const),
      ...ringIds.map(({ ringId, ...kek }) => [{ do: 'ringid', ...kek }, { ringId }] as const),
      [
        { do: 'ring', text: JSON.stringify(ring) },
        { digest, openable },
      ],
      [
        { do: 'ring', text: vectors.ring.text },
        { digest: vectors.ring.digest, openable: vectors.ring.openableDigest },
      ],
      [
        { do: 'bundle', text: vectors.bundle.text, keks },
        {
          sha256: (JSON.parse(vectors.bundle.text) as { sha256: string }).sha256,
          ...{ macs: [true, true, true], vouchers: [true, true, true] },
          carried: vectors.ring.digest,
        },
      ],
      [
        { do: 'request', text: vectors.request.text },
        { fingerprint: vectors.request.fingerprint, recipient: vectors.request.recipient },
      ],
      [{ do: 'public', text: recovery.publicFile }, { fingerprint: recovery.id }],
      [
        { do: 'recover', text: vectors.bundle.text, rsa, seed: kemSeed },
        {
          id: recovery.id,
          keks: Object.fromEntries(identities.slice(2, 4).map(({ fp, kek }) => [fp, kek])),
        },
      ],
      [{ do: 'pin', text: pin.text, rsa, seed: kemSeed }, { pin: pin.pin }],
      [
        { do: 'backup', text: vectors.backup.text },
        { sha256: (JSON.parse(vectors.backup.text) as { sha256: string }).sha256 },
      ],
      ...sealed.map(
        ({ plaintext, ...each }) => [{ do: 'decrypt', ...each }, { plaintext }] as const,
      ),
    ];
    const answers = ask(pairs.map(([question]) => question));
    assert.deepEqual(
      answers,
      pairs.map(([, answer]) => answer),
    );
    const shared = ['ring', 'bundle', 'request', 'backup', 'decrypt'];
    const both = pairs.map(([question]) => question).filter((each) => shared.includes(each.do));
    assert.equal(requireAgreement(both).refused, 0);
  });

  const all = madeOf(1_000);

  test('on 1,000 random rings and bundles', () => {
    assert.deepEqual(requireAgreement(all.map(ringOf)), { taken: 1_000, refused: 0 });
    assert.deepEqual(requireAgreement(all.map(bundleOf)), { taken: 1_000, refused: 0 });
    const states = new Set(all.flatMap(({ ring }) => ring.keks.map(({ state }) => state)));
    assert.equal(states.size, 5);
    const carrying = all.filter(({ bundle }) => !bundle.includes('"carried": null'));
    assert.ok(carrying.length > 200 && carrying.length < 800, `${carrying.length} carry a ring`);
  });

  test('on what kleidi wraps for a recovery key, and on each part when it is damaged', () => {
    const key = newHybridKey();
    const rsa = key.rsaPrivate.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    const kem = mlKemSeedPkcs8(key.kemPrivate.export({ format: 'der', type: 'pkcs8' }));
    const asked = { rsa, seed: kem.subarray(-64).toString('hex') };
    const ring = named('prod');
    const first = knownKek(ring, key, []);
    const keks = [first, vouched(ring, first, knownKek(ring, key, [], { oaepHash: 'sha1' }))];
    const textOf = (all: readonly BundleKek[]): string => formatBundle(ring, all);
    const [good, pin] = ask([
      { do: 'recover', text: textOf(keks), ...asked },
      { do: 'pin', text: wrapPin('0123456789', 'kleidi', key), ...asked },
    ]);
    const opened = Object.fromEntries(
      keks.map(({ fp, material }) => [fp, material.toString('hex')]),
    );
    assert.deepEqual(good, { id: key.fingerprint, keks: opened });
    assert.deepEqual(pin, { pin: '0123456789' });
    const bad = choices(60, 4).map((choice): readonly BundleKek[] => {
      const [part] = first.recipients;
      const bytes = Buffer.from(part?.wrapped ?? '', 'base64');
      const at = choice.where % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (choice.what % 8));
      const wrapped = bytes.toString('base64');
      if (part === undefined || choice.how % 3 === 0) return [{ ...first, check: 'ab'.repeat(16) }];
      return [{ ...first, recipients: [{ ...part, wrapped }] }];
    });
    const answers = ask(bad.map((all) => ({ do: 'recover', text: textOf(all), ...asked })));
    for (const [i, answer] of answers.entries()) {
      assert.ok('refused' in answer, `Go takes part ${i}`);
      const [kek] = bad[i] ?? [];
      assert.throws(() => kek && testKek(ring, kek, key), { code: 'refused' });
    }
  });
});
