// What is taken from a kubeconfig, and what is refused without a word of its contents.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { readKubeconfig } from '../../src/apiserver/live/kubeconfig.ts';
import { KleidiError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/folder.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const cluster = { server: 'https://lb.example:8443', 'certificate-authority-data': base64('CA') };
const user = { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') };

function read(cluster: object, user: object, files: Readonly<Record<string, string>> = {}) {
  const root = temporaryFolder();
  const text = JSON.stringify({
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [
      { name: 'other', cluster: {} },
      { name: 'k', cluster },
    ],
    users: [{ name: 'u', user }],
  });
  for (const [path, content] of Object.entries({ '/etc/k/admin.conf': text, ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return readKubeconfig(root, '/etc/k/admin.conf');
}

function refusal(cluster: object, user: object): string {
  try {
    read(cluster, user);
  } catch (error) {
    assert.ok(error instanceof KleidiError && error.code === 'refused');
    assert.doesNotMatch(`${error.message}${error.hint}`, /KEY|secret-token/);
    return error.message;
  }
  return assert.fail('not refused');
}

test('certificates as data, and by the name of the server', () => {
  const { server, serverName, ca, login } = read(cluster, user);
  assert.equal(server.port, '8443');
  assert.equal(serverName, 'lb.example');
  assert.equal(ca, 'CA');
  assert.deepEqual(login, { kind: 'certificate', cert: 'CERT', key: 'KEY' });
  assert.equal(read({ ...cluster, 'tls-server-name': 'cp1' }, user).serverName, 'cp1');
});

test('certificates and tokens in files, beside the kubeconfig or anywhere', () => {
  const files = { '/etc/k/ca.pem': 'CA2', '/pki/c.pem': 'C2', '/pki/k.pem': 'K2' };
  const found = read(
    { server: 'https://lb', 'certificate-authority': 'ca.pem' },
    { 'client-certificate': '/pki/c.pem', 'client-key': '/pki/k.pem' },
    files,
  );
  assert.equal(found.ca, 'CA2');
  assert.deepEqual(found.login, { kind: 'certificate', cert: 'C2', key: 'K2' });
  const { login } = read(cluster, { tokenFile: '/t' }, { '/t': 'abc\n' });
  assert.deepEqual(login, { kind: 'token', token: 'abc' });
});

test('what proves nothing, or needs a program, is refused', () => {
  assert.match(refusal(cluster, {}), /neither a client certificate nor a token/);
  assert.match(refusal(cluster, { exec: { command: 'aws' } }), /neither a client certificate/);
  assert.match(refusal({ ...cluster, server: 'http://lb' }, user), /no https address/);
  assert.match(
    refusal({ ...cluster, 'insecure-skip-tls-verify': true }, { token: 'secret-token' }),
    /trusts any server/,
  );
  assert.match(
    refusal({ server: 'https://lb', 'certificate-authority': '/no' }, user),
    /certificate-authority \/no cannot be read/,
  );
});
