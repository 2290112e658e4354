// The form of a bundle: what kleidi writes it reads back, and nothing else.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { type Bundle, formatBundle, formatRecoveryBundle } from '../../src/keyring/bundle.ts';
import { parseBundle } from '../../src/keyring/bundlefile.ts';
import { publicKeyOfObject } from '../../src/keyring/publickey.ts';
import { knownKek, named, newHybridKey } from '../support/recoveryset.ts';

const recovery = newHybridKey();
const host = publicKeyOfObject(generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey);
const keks = [
  knownKek(named('prod'), recovery, [host]),
  knownKek(named('prod'), undefined, [host]),
].map(({ material: _, ...kek }) => kek);
const text = formatBundle(named('prod'), keks);

function refusal(changed: string): string | undefined {
  try {
    parseBundle(changed, 'file');
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** With its checksum made right: what somebody who wants to be believed would write. */
function altered(change: (bundle: Record<string, unknown>) => void): string {
  const bundle = JSON.parse(text) as Record<string, unknown>;
  change(bundle);
  const { ring, ringId, keks: changed } = bundle as unknown as Bundle;
  const { sha256 } = JSON.parse(formatBundle({ ring, ringId }, changed)) as { sha256: string };
  return JSON.stringify({ ...bundle, sha256 });
}

test('what is written is read back, and the same bundle has the same text', () => {
  const bundle = parseBundle(text, 'file');
  assert.deepEqual(bundle.keks, keks);
  assert.equal(formatBundle(bundle, bundle.keks), text);
});

test('any flipped bit is refused', () => {
  const bytes = Buffer.from(text);
  for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
    const at = bit >> 3;
    const old = bytes[at] ?? 0;
    bytes[at] = old ^ (1 << (bit & 7));
    assert.ok(refusal(bytes.toString('utf8')), `bit ${bit & 7} of byte ${at}`);
    bytes[at] = old;
  }
});

test('any missing end is refused', () => {
  for (let end = 0; end < text.length - 1; end += 37) assert.ok(refusal(text.slice(0, end)));
});

test('what is not of the form is refused, also with a right checksum', () => {
  const kek = (change: object) => (bundle: Record<string, unknown>) => {
    const [first, ...rest] = bundle['keks'] as object[];
    bundle['keks'] = [{ ...first, ...change }, ...rest];
  };
  const changes: readonly ((bundle: Record<string, unknown>) => void)[] = [
    (bundle) => Object.assign(bundle, { extra: 1 }),
    (bundle) => Object.assign(bundle, { ring: 'Prod' }),
    (bundle) => Object.assign(bundle, { keks: [] }),
    (bundle) => Object.assign(bundle, { keks: [keks[0], keks[0]] }),
    (bundle) => Object.assign(bundle, { format: 1 }),
    (bundle) => Object.assign(bundle, { kind: 'kleidi-request' }),
    kek({ fp: 'AB'.repeat(16) }),
    kek({ mac: 'ab' }),
    kek({ created: 'yesterday' }),
    kek({ oaepHash: 'md5' }),
    kek({ extra: true }),
    kek({ recipients: [...(keks[0]?.recipients ?? []), keks[0]?.recipients[0]] }),
    kek({ recipients: [{ ...keks[0]?.recipients[0], role: 'friend' }] }),
    kek({ recipients: [{ ...keks[0]?.recipients[0], role: 'host' }] }),
    kek({ recipients: [{ ...keks[0]?.recipients[0], alg: 'rsa-oaep' }] }),
    kek({ recipients: [{ ...keks[0]?.recipients[0], alg: undefined }] }),
    kek({ recipients: [{ ...keks[0]?.recipients[1], role: 'recovery' }] }),
    kek({ recipients: [{ ...keks[0]?.recipients[1], alg: keks[0]?.recipients[0]?.alg }] }),
    kek({
      recipients: [{ ...keks[0]?.recipients[0], wrapped: keks[0]?.recipients[1]?.wrapped }],
    }),
    kek({ recipients: [{ ...keks[0]?.recipients[0], wrapped: '!'.repeat(512) }] }),
  ];
  assert.equal(refusal(altered(() => undefined)), undefined, 'the way to alter is right');
  for (const change of changes) assert.ok(refusal(altered(change)), String(change));
});

test('the recovery bundle of a KEK holds its recovery part alone', () => {
  const [withRecovery, without] = keks;
  assert.ok(withRecovery && without);
  const own = parseBundle(formatRecoveryBundle(named('prod'), withRecovery) ?? '', 'file');
  assert.deepEqual(
    own.keks[0]?.recipients.map((part) => part.role),
    ['recovery'],
  );
  assert.equal(formatRecoveryBundle(named('prod'), without), undefined);
});
