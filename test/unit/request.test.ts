// A request: its fingerprint covers host, ring and key, and nothing but what
// kleidi writes is read.
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publicKeyOfObject, spkiPem } from '../../src/keyring/publickey.ts';
import {
  formatRequest,
  makeRequest,
  parseRequest,
  readRequest,
} from '../../src/keyring/request.ts';
import { temporaryFolder } from '../support/folder.ts';

const folder = temporaryFolder();
const newKey = () =>
  publicKeyOfObject(generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey);
const key = newKey();
const request = makeRequest(key, 'prod', 'cp2.example');
const fields = JSON.parse(formatRequest(request)) as Record<string, unknown>;

test('the fingerprint is the SHA-256 of this very text', () => {
  const spki = key.spki.toString('base64');
  const text = `{"format":2,"host":"cp2.example","kind":"kleidi-request","ring":"prod","spki":"${spki}"}`;
  assert.equal(request.fingerprint, createHash('sha256').update(text).digest('hex'));
  assert.equal(request.recipient, createHash('sha256').update(key.spki).digest('hex'));
  assert.notEqual(request.fingerprint, request.recipient);
});

test('what is written is read, and is the same text each time', () => {
  const text = formatRequest(request);
  assert.deepEqual(parseRequest(text), request);
  assert.equal(formatRequest(parseRequest(text)), text);
  assert.deepEqual(Object.keys(fields), ['format', 'kind', 'ring', 'host', 'publicKey', 'sha256']);
  assert.equal(makeRequest(key, 'prod', 'no host name').host, 'unnamed');
});

test('another host, ring or key is another fingerprint, and not the named one', async () => {
  const others = [
    makeRequest(key, 'prod', 'cp3.example'),
    makeRequest(key, 'dev', 'cp2.example'),
    makeRequest(newKey(), 'prod', 'cp2.example'),
  ];
  const all = [request, ...others].map(({ fingerprint }) => fingerprint);
  assert.equal(new Set(all).size, 4);
  for (const [i, other] of others.entries()) {
    const path = join(folder, `other-${i}`);
    writeFileSync(path, formatRequest(other));
    await assert.rejects(readRequest(`${path}=${request.fingerprint}`), {
      code: 'refused',
      message: /is not the expected request: its fingerprint is [0-9a-f]{64}/,
    });
    // What names the key does not name the request.
    await assert.rejects(readRequest(`${path}=${other.recipient}`), { code: 'refused' });
    assert.equal((await readRequest(`${path}=${other.fingerprint}`)).confirmed, true);
  }
});

test('a changed field, an unknown one and an older format are refused', () => {
  const faults: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ host: 'cp3.example' }, /damaged or was changed/],
    [{ ring: 'dev' }, /damaged or was changed/],
    [{ publicKey: spkiPem(newKey().spki) }, /damaged or was changed/],
    [{ sha256: request.recipient }, /damaged or was changed/],
    [{ sha256: undefined }, /damaged or was changed/],
    [{ ring: null }, /its ring is not a name/],
    [{ ring: 'No Ring' }, /its ring is not a name/],
    [{ host: 'a"b' }, /its host is not a name/],
    [{ publicKey: 7 }, /holds no public key/],
    [{ publicKey: `${fields['publicKey']}\n` }, /in another form than PEM/],
    [{ publicKey: `x\n${fields['publicKey']}` }, /in another form than PEM/],
    [{ note: 'for cp2' }, /fields that are unknown/],
    [{ format: 1, sha256: request.recipient }, /an older kleidi has made it: run key request/],
    [{ format: 3 }, /this kleidi reads format 2/],
    [{ kind: 'kleidi-bundle' }, /its kind is not/],
  ];
  for (const [change, message] of faults) {
    assert.throws(() => parseRequest(JSON.stringify({ ...fields, ...change })), { message });
  }
  for (const text of ['null', '7', '[]', '']) assert.throws(() => parseRequest(text), Error);
});
