// Malformed and hostile answers to every call that kleidi makes of Vault: each is
// the right error, nothing is read without end, and no junk comes out.
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { KleidiError } from '../../src/errors.ts';
import { askAbout, login, renew } from '../../src/providers/vault/auth.ts';
import { VaultHttp } from '../../src/providers/vault/http.ts';
import { Transit } from '../../src/providers/vault/transit.ts';
import { type Bad, type Call, HostileVault, sendJson } from '../support/hostilevault.ts';

const server = await HostileVault.start();
const http = new VaultHttp({ addresses: [server.address], namespace: '', ca: server.ca });
const auth = {
  method: 'approle',
  mount: 'approle',
  roleId: 'role',
  secretId: async () => 'a-secret-id',
} as const;
const longMs = 20_000;
const { token } = await login(http, auth, longMs);
const transit = new Transit((ask) => http.ask({ ...ask, token }), 'transit', 'kleidi');
/** Of this length, its base64 and that of its ciphertext both end in padding. */
const seed = Buffer.alloc(34, 7);
const aad = Buffer.from('header and key id');
const sealed = await transit.encrypt(1, seed, aad, longMs);

type Fields = Readonly<Record<string, unknown>>;

const calls: Readonly<Record<Call, (timeoutMs: number) => Promise<unknown>>> = {
  login: (timeoutMs) => login(http, auth, timeoutMs),
  lookup: (timeoutMs) => askAbout(http, token, timeoutMs),
  renew: (timeoutMs) => renew(http, token, timeoutMs),
  keys: (timeoutMs) => transit.versions(timeoutMs),
  hmac: (timeoutMs) => transit.identity(1, timeoutMs),
  encrypt: (timeoutMs) => transit.encrypt(1, seed, aad, timeoutMs),
  decrypt: (timeoutMs) => transit.decrypt(1, sealed, aad, timeoutMs),
};
const names = Object.keys(calls) as Call[];

async function codeOf(call: Call, bad: Bad, timeoutMs = longMs): Promise<string> {
  server.answerBadly(call, bad);
  const error: unknown = await calls[call](timeoutMs).then(
    (value) => assert.fail(`${call} gave ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  server.answerWell();
  assert.ok(error instanceof KleidiError, String(error));
  const told = `${error.message}${error.hint}${error.cause}`;
  for (const secret of [token, 'a-secret-id', seed.toString('base64')]) {
    assert.ok(!told.includes(secret), told);
  }
  assert.ok(told.length < 2_000, `${told.length} characters`);
  return error.code;
}

const raw =
  (body: string | Buffer, status = 200, headers = {}): Bad =>
  (response) => {
    response.writeHead(status, headers).end(body);
  };
const json =
  (value: unknown): Bad =>
  (response) =>
    sendJson(response, value);

/** Until somebody closes it. */
async function flood(response: ServerResponse, chunk: Buffer): Promise<void> {
  response.writeHead(200);
  const closed = new Promise((resolve) => response.once('close', resolve));
  while (!response.destroyed) {
    if (response.write(chunk)) continue;
    await Promise.race([closed, new Promise((resolve) => response.once('drain', resolve))]);
  }
}

async function drip(response: ServerResponse): Promise<void> {
  response.writeHead(200);
  for (; !response.destroyed; await sleep(20)) response.write(' ');
}

test('the server in good health: every call succeeds', async () => {
  for (const call of names) await calls[call](longMs);
  assert.deepEqual(await calls.decrypt(longMs), seed);
});

const wrongForAll: readonly (readonly [string, Bad])[] = [
  ['an empty body', raw('')],
  ['HTML', raw('<html><body>Sign in to the network</body></html>')],
  ['an array', json([])],
  ['null', json(null)],
  ['a number', json(7)],
  ['a text', json('data')],
  ['an empty object', json({})],
  ['data and auth null', json({ data: null, auth: null })],
  ['data and auth lists', json({ data: [], auth: [] })],
  ['data and auth texts', json({ data: 'x', auth: 'x' })],
  ['data and auth empty', json({ data: {}, auth: {} })],
  ['half an object', (response, good) => raw(JSON.stringify(good).slice(0, -3))(response, good)],
  ['two objects', (response, good) => raw(JSON.stringify(good).repeat(2))(response, good)],
  ['gzip', (response, good) => raw(gzipSync(JSON.stringify(good)))(response, good)],
  ['no content', raw('', 204)],
  ['a redirect', raw('', 302, { location: 'http://127.0.0.1:9/' })],
  ['another status', (response, good) => raw(JSON.stringify(good), 203)(response, good)],
  ['a failure', raw('{"errors":["internal error"]}', 500)],
  ['errors that are no list', raw('{"errors":{"a":1}}', 500)],
  ['errors without end', raw(JSON.stringify({ errors: ['x'.repeat(60_000), 1, {}] }), 500)],
];

for (const [name, bad] of wrongForAll) {
  test(`${name} is a failure of Vault, for every call`, async () => {
    for (const call of names) assert.equal(await codeOf(call, bad), 'vault-failed', call);
  });
}

test('a request that comes back in the errors is not shown', async () => {
  for (const call of names) {
    const own = { login: ['a-secret-id'], encrypt: [token, seed.toString('base64')] };
    const errors = own[call as 'login'] ?? [token];
    assert.equal(await codeOf(call, raw(JSON.stringify({ errors }), 500)), 'vault-failed', call);
  }
});

test('a body without end is not read to the end', async () => {
  for (const chunk of [Buffer.alloc(65_536, 0x20), Buffer.alloc(65_536, 0x7b)]) {
    for (const call of names) {
      const before = server.bytesSent;
      const code = await codeOf(call, (response) => void flood(response, chunk));
      assert.equal(code, 'vault-failed', call);
      for (let tries = 0; server.bytesSent === before && tries < 500; tries += 1) await sleep(10);
      const bytes = server.bytesSent - before;
      // The limits are 64 KiB and 1 MiB; the rest is what two kernels' buffers hold.
      assert.ok(bytes > 0 && bytes < 2 ** 24, `${call}: ${bytes} bytes`);
    }
  }
});

test('a drip, a cut and a silence are no answer', async () => {
  const silence: Bad = () => undefined;
  const cut: Bad = (response, good) => {
    response.writeHead(200, { 'content-length': '9999' }).write(JSON.stringify(good));
    setTimeout(() => response.destroy(), 20);
  };
  for (const call of names) {
    const dripping = await codeOf(call, (response) => void drip(response), 200);
    assert.equal(dripping, 'vault-unreachable', call);
    assert.equal(await codeOf(call, silence, 200), 'vault-unreachable', call);
    assert.equal(await codeOf(call, cut), 'vault-unreachable', call);
  }
});

/** Field, and what stands there instead. */
type Change = readonly [field: string, values: readonly unknown[]];

const body = sealed.toString().slice('vault:v1:'.length);
const notNumbers = ['1', null, -1, 1.5, 1e300, 2 ** 53, true, [1], { a: 1 }, ''];
const mac = Buffer.alloc(32, 9).toString('base64');
const plain = seed.toString('base64');

function notBase64(good: string): unknown[] {
  return [
    ...[undefined, null, 1, {}, [], ''],
    good.slice(0, -1),
    good.slice(0, -4),
    good + good,
    `${good}AAAA`,
    `${good}\n`,
    ` ${good}`,
    `!${good}`,
    good.replace(/=*$/, ''),
    good.replaceAll('=', '!'),
    nonCanonical(good),
  ].filter((each) => each !== good);
}

/** Decodes to the same bytes: a bit that base64 does not use is set. */
function nonCanonical(good: string): string {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  return good.replace(/([^=])(=+)$/, (_, last: string, end: string) => {
    return `${digits[digits.indexOf(last) + 1] ?? '?'}${end}`;
  });
}

const ofVersion = (good: string): unknown[] => [
  ...notBase64(good).filter((each) => typeof each !== 'string'),
  good,
  ...notBase64(good)
    .filter((each) => typeof each === 'string')
    .map((each) => `vault:v1:${each}`),
  ...['vault:v2:', 'vault:v01:', 'vault:v1', 'VAULT:v1:', 'vault:v1::'].map((each) => each + good),
];

const wrongFields: Readonly<Record<Call, { readonly in: string; readonly changes: Change[] }>> = {
  login: {
    in: 'auth',
    changes: [
      [
        'client_token',
        [undefined, null, 1, {}, ['t'], 'a b', 'a\r\nb: c', 'ü', 'x'.repeat(20_000)],
      ],
      ['lease_duration', [undefined, ...notNumbers]],
      ['renewable', [undefined, null, 1, 'true', {}]],
    ],
  },
  renew: {
    in: 'auth',
    changes: [
      ['client_token', [undefined, null, 1, 'another-token']],
      ['lease_duration', [undefined, ...notNumbers]],
      ['renewable', [undefined, null, 1, 'true', {}]],
    ],
  },
  lookup: {
    in: 'data',
    changes: [
      ['ttl', [undefined, ...notNumbers]],
      ['renewable', [null, 1, 'true', {}]],
    ],
  },
  keys: {
    in: 'data',
    changes: [
      ['type', [undefined, null, 1, {}, '', 'a b', 'x'.repeat(100)]],
      ['derived', [null, 1, 'false', {}]],
      ['exportable', [undefined, null, 1, 'false', {}]],
      ['allow_plaintext_backup', [undefined, null, 1, 'false', {}]],
      ['deletion_allowed', [undefined, null, 1, 'false', {}]],
      ['latest_version', [undefined, ...notNumbers]],
      ['min_decryption_version', [undefined, ...notNumbers]],
      ['min_encryption_version', [undefined, ...notNumbers]],
      [
        'keys',
        [undefined, null, 1, 'x', [1], { 0: 1 }, { 2: 1 }, { '01': 1 }, { a: 1 }, { '': 1 }],
      ],
    ],
  },
  hmac: { in: 'data', changes: [['hmac', ofVersion(mac)]] },
  encrypt: { in: 'data', changes: [['ciphertext', ofVersion(body)]] },
  decrypt: { in: 'data', changes: [['plaintext', notBase64(plain)]] },
};

for (const call of names) {
  test(`${call}: every field of another type, form or length is a failure of Vault`, async () => {
    const { in: part, changes } = wrongFields[call];
    for (const [field, values] of changes) {
      for (const value of values) {
        const bad: Bad = (response, good) =>
          sendJson(response, { ...good, [part]: { ...(good[part] as Fields), [field]: value } });
        const said = `${field} = ${JSON.stringify(value)?.slice(0, 80)}`;
        assert.equal(await codeOf(call, bad), 'vault-failed', said);
      }
    }
  });
}

test('a login without a token, as for multi-factor login, is a refused login', async () => {
  const bad = json({ auth: { client_token: '', lease_duration: 0, renewable: false } });
  assert.equal(await codeOf('login', bad), 'vault-login-failed');
});

test('a refused login says so; only decrypt can call a ciphertext invalid', async () => {
  const refused = raw('{"errors":["cipher: message authentication failed"]}', 400);
  for (const call of names) {
    const due = { login: 'vault-login-failed', decrypt: 'ciphertext-invalid' } as const;
    assert.equal(await codeOf(call, refused), due[call as 'login'] ?? 'vault-failed', call);
  }
});

test('a ciphertext that Vault cannot have made is refused without a call', async () => {
  const before = server.count('decrypt');
  for (const text of [
    'vault:v2:AAAA',
    `vault:v1:${body}\n`,
    `vault:v1:${nonCanonical(body)}`,
    body,
  ]) {
    const work = transit.decrypt(1, Buffer.from(text), aad, longMs);
    await assert.rejects(work, { code: 'ciphertext-invalid' });
  }
  assert.equal(server.count('decrypt'), before);
});

test('NODE_TLS_REJECT_UNAUTHORIZED does not switch the check of the certificate off', async () => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const without = new VaultHttp({ addresses: [server.address], namespace: '', ca: undefined });
  try {
    await assert.rejects(login(without, auth, longMs), (error: KleidiError) => {
      assert.equal(error.code, 'vault-unreachable');
      assert.match(error.hint ?? '', /vault\.caFile/);
      return true;
    });
  } finally {
    delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    await without.close();
  }
});

test('all is closed', async () => {
  await http.close();
});
