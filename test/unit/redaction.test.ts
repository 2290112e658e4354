// What leaves a host in a support bundle: no secret of it in any form that programs print.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Redaction } from '../../src/admin/support/redaction.ts';

const none = new Redaction([]);

test('a known secret is taken out as it is, in hex, in base64 and URLs, wherever it begins', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 12, maxLength: 40 }),
      fc.uint8Array({ maxLength: 5 }),
      fc.uint8Array({ maxLength: 5 }),
      (secret, before, after) => {
        const bytes = Buffer.concat([before, Buffer.from(secret), after]);
        const forms = [
          secret,
          JSON.stringify(secret),
          encodeURIComponent(secret),
          Buffer.from(secret).toString('hex'),
          Buffer.from(secret).toString('hex').toUpperCase(),
          bytes.toString('base64'),
          bytes.toString('base64url'),
        ];
        for (const form of forms) {
          const left = new Redaction([secret]).redacted(`journal: ${form} end`);
          assert.match(left, /\[redacted\]/, form);
        }
      },
    ),
  );
});

test('of base64 around a secret no digit is left that tells of its bytes', () => {
  const secret = 'correct-horse-battery';
  for (const before of ['', 'x', 'xy', 'xyz']) {
    const text = Buffer.from(`${before}${secret}${before}`).toString('base64');
    const [first = '', last = ''] = new Redaction([secret]).redacted(text).split('[redacted]');
    // One digit at each end may be shared with what stands beside it.
    const digits = (part: string): number => part.replace(/=+$/, '').length;
    const most = Math.ceil((before.length * 8) / 6) + 1;
    assert.ok(digits(first) <= most && digits(last) <= most, text);
  }
});

test('what has the form of a secret is taken out, and the line stays readable', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['a -----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY----- b', 'a [redacted] b'],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\nno end', '[redacted]'],
    [`Bearer ${'a'.repeat(20)}`, 'Bearer [redacted]'],
    [`eyJhbGciOiJSUzI1.eyJpc3MiOiJrdWJl.${'s'.repeat(20)}`, '[redacted]'],
    [`token hvs.${'C'.repeat(24)} end`, 'token [redacted] end'],
    [
      'Environment=HTTPS_PROXY=http://user:pass@proxy:3128',
      'Environment=HTTPS_PROXY=http://[redacted]@proxy:3128',
    ],
    ['Environment="VAULT_TOKEN=abc def" X=1', 'Environment="VAULT_TOKEN=[redacted]" X=1'],
    ['Environment=VAULT_TOKEN="abc def" X=1', 'Environment=VAULT_TOKEN=[redacted] X=1'],
  ];
  for (const [text, wanted] of cases) assert.equal(none.redacted(text), wanted);
});

test('what helps stays: fingerprints, key ids, digests, paths, addresses, places of PINs', () => {
  const text = [
    'k1.prod.3.00112233445566778899aabbccddeeff',
    `sha256:${'ab'.repeat(32)}`,
    'LoadCredentialEncrypted=pin:/etc/kleidi/credentials/pin.cred',
    'pin: credential:***',
    "token 'kleidi' refuses the PIN: CKR_PIN_INCORRECT",
    '--etcd-servers=https://127.0.0.1:2379',
    'the token has refused this PIN; it is not tried again',
    'https://[::1]:6443 10.0.0.1:6443',
  ].join('\n');
  assert.equal(new Redaction(['', '1234']).redacted(text), text);
});
