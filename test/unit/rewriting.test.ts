// What a rewrite does with answers that a cluster under test cannot be brought to give, by a
// real server over TLS: pages that expire, a busy API server, conflicts without an end.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { distributionsOf } from '../../src/apiserver/distributions/all.ts';
import { ApiserverClient } from '../../src/apiserver/live/client.ts';
import { resourcesNamed, type StoredResource } from '../../src/apiserver/live/discovery.ts';
import { type Listed, listObjects } from '../../src/apiserver/live/listing.ts';
import { rewriteObject } from '../../src/apiserver/live/rewriting.ts';
import { KleidiError } from '../../src/errors.ts';
import { makeCertificates } from '../support/certificates.ts';
import { temporaryFolder } from '../support/folder.ts';
import { missingTool } from '../support/skip.ts';

interface Answer {
  readonly status?: number;
  readonly body?: object | string;
  readonly retryAfterS?: number;
}

const skip = missingTool('openssl');
const folder = temporaryFolder();
if (skip === false) makeCertificates(folder);
const secrets: StoredResource = {
  name: 'secrets',
  base: '/api/v1',
  plural: 'secrets',
  isNamespaced: true,
};
const path = '/api/v1/namespaces/ns/secrets/a';

/** A client of a server that gives these answers, in this order. */
async function serving(...answers: readonly Answer[]) {
  const asked: { readonly line: string; readonly body: string }[] = [];
  const pem = (name: string): Buffer => readFileSync(join(folder, name));
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const turn = asked.push({ line: `${request.method} ${request.url}`, body: '' }) - 1;
    asked[turn] = { line: `${request.method} ${request.url}`, body: await text(request) };
    const { status = 200, body = {}, retryAfterS } = answers[turn] ?? answers.at(-1) ?? {};
    if (retryAfterS !== undefined) response.setHeader('retry-after', retryAfterS);
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  const server = createServer({ cert: pem('server.pem'), key: pem('server.key') }, answer);
  after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = clientOf(port);
  after(() => client.close());
  return { client, asked, port };
}

function clientOf(port: number, serverName = 'localhost'): ApiserverClient {
  const cluster = {
    server: `https://127.0.0.1:${port}`,
    'tls-server-name': serverName,
    'certificate-authority': join(folder, 'ca.pem'),
  };
  const file = join(folder, `${port}.conf`);
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    clusters: [{ name: 'k', cluster }],
    users: [{ name: 'u', user: { token: 'abc' } }],
  };
  writeFileSync(file, JSON.stringify(config));
  const distribution = distributionsOf('/').find((each) => each.kubeconfigIsOwn);
  assert.ok(distribution !== undefined);
  return ApiserverClient.open({ root: '/', distribution, evidence: '' }, file);
}

async function allOf(client: ApiserverClient): Promise<Listed[]> {
  const found: Listed[] = [];
  for await (const each of listObjects(client, secrets)) found.push(each);
  return found;
}

const page = (next: string, left: number, ...names: string[]) => ({
  body: {
    metadata: { continue: next, remainingItemCount: left },
    items: names.map((name) => ({ metadata: { namespace: 'ns', name } })),
  },
});
const version = (resourceVersion: string) => ({ metadata: { resourceVersion } });
const conflict = { status: 409, body: { reason: 'Conflict' } };

test('page by page; an expired token: on with the one that the answer has', { skip }, async () => {
  const gone = { status: 410, body: { reason: 'Expired', metadata: { continue: 'now' } } };
  const { client, asked } = await serving(page('t1', 2, 'a', 'b'), gone, page('', 0, 'c', 'd'));
  const listed = await allOf(client);
  assert.deepEqual(
    listed.map(({ name, left }) => [name, left]),
    [
      ['ns/a', 3],
      ['ns/b', 2],
      ['ns/c', 1],
      ['ns/d', 0],
    ],
  );
  assert.deepEqual(
    asked.map(({ line }) => line.replace('GET /api/v1/secrets?limit=500', '')),
    ['', '&continue=t1', '&continue=now'],
  );
});

test('an expired token without another: from the beginning, and not for ever', {
  skip,
}, async () => {
  const gone = { status: 410, body: { reason: 'Expired' } };
  const again = await serving(page('t1', 1, 'a'), gone, page('', 0, 'a', 'b'));
  const listed = await allOf(again.client);
  assert.deepEqual(
    listed.map(({ name }) => name),
    ['ns/a', 'ns/a', 'ns/b'],
  );
  const never = await serving(page('t1', 1, 'a'), gone);
  await assert.rejects(allOf(never.client), /410/);
});

test('what was read is sent as it is, numbers beyond JavaScript among it', { skip }, async () => {
  const body = '{"metadata":{"resourceVersion":"7"},"spec":{"n":9007199254740993,"x":1.0}}';
  const { client, asked } = await serving({ body }, { body: version('8') });
  assert.equal((await rewriteObject(client, path)).kind, 'rewritten');
  assert.deepEqual(asked[1], { line: `PUT ${path}?fieldManager=kleidi`, body });
});

test('a conflict: read again; conflicts without an end are a refusal', { skip }, async () => {
  const once = await serving(
    { body: version('1') },
    conflict,
    { body: version('2') },
    { body: version('2') },
  );
  const { kind, conflicts } = await rewriteObject(once.client, path);
  assert.deepEqual([kind, conflicts], ['unchanged', 1]);
  assert.equal(once.asked[3]?.body, JSON.stringify(version('2')));
  const always = await serving(
    ...Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? { body: version('1') } : conflict)),
  );
  const given = await rewriteObject(always.client, path);
  assert.deepEqual(given, { kind: 'refused', reason: 'Conflict', conflicts: 20 });
});

test('deleted before the read or the write: gone', { skip }, async () => {
  for (const answers of [[{ status: 404 }], [{ body: version('1') }, { status: 404 }]]) {
    const { client } = await serving(...answers);
    assert.equal((await rewriteObject(client, path)).kind, 'gone');
  }
});

test('busy: asked again when it says', { skip }, async () => {
  const busy = [429, 503].map((status) => ({ status, retryAfterS: 1 }));
  const { client, asked } = await serving(...busy, { body: version('1') }, ...busy, {
    body: version('2'),
  });
  const startMs = performance.now();
  assert.equal((await rewriteObject(client, path)).kind, 'rewritten');
  assert.ok(performance.now() - startMs >= 3_900);
  assert.equal(asked.length, 6);
});

test('etcd elects a leader: asked again, and the write that was made is not made twice', {
  skip,
}, async () => {
  const body = { reason: 'InternalError', message: 'etcdserver: leader changed' };
  const { client, asked } = await serving(
    { body: version('1') },
    { status: 500, body },
    conflict,
    { body: version('2') },
    { body: version('2') },
  );
  const { kind, conflicts } = await rewriteObject(client, path);
  assert.deepEqual([kind, conflicts, asked.length], ['unchanged', 1, 5]);
});

test('a refusal has the kind of the error, and no word of its message', { skip }, async () => {
  for (const [status, reason, expected] of [
    [422, 'Invalid', 'Invalid, 422'],
    [500, 'InternalError', 'InternalError, 500'],
    [403, 'quotes c2VjcmV0', 'HTTP 403'],
  ] as const) {
    const answer = { status, body: { reason, message: 'quotes c2VjcmV0' } };
    const { client } = await serving({ body: version('1') }, answer);
    const { kind, reason: said } = await rewriteObject(client, path);
    assert.deepEqual([kind, said], ['refused', expected]);
  }
  const { client } = await serving({ status: 500, body: { reason: 'InternalError' } });
  const { reason } = await rewriteObject(client, path);
  assert.equal(reason, 'InternalError, 500 when it is read');
});

test('the certificate must have the name of the kubeconfig, or its address', { skip }, async () => {
  const { port } = await serving({});
  for (const name of ['127.0.0.1', 'other.example']) {
    const client = clientOf(port, name);
    await assert.rejects(client.get('/'), /cannot be asked: Hostname\/IP does not match/);
    client.close();
  }
});

test('a login that has ended ends the run', { skip }, async () => {
  const { client } = await serving({ status: 401 });
  await assert.rejects(rewriteObject(client, path), (error) => {
    assert.ok(error instanceof KleidiError && error.code === 'apiserver-unreachable');
    return true;
  });
});

test('resources by discovery: of all versions, without what cannot be replaced', {
  skip,
}, async () => {
  const verbs = ['get', 'list', 'update'];
  const { client, asked } = await serving(
    {
      body: {
        preferredVersion: { groupVersion: 'g.io/v2' },
        versions: [{ groupVersion: 'g.io/v1' }, { groupVersion: 'g.io/v2' }],
      },
    },
    {
      body: {
        resources: [
          { name: 'things', namespaced: true, verbs },
          { name: 'things/status', namespaced: true, verbs },
          { name: 'asks', namespaced: false, verbs: ['create'] },
        ],
      },
    },
    {
      body: {
        resources: [
          { name: 'things', namespaced: true, verbs },
          { name: 'olds', namespaced: false, verbs },
        ],
      },
    },
  );
  assert.deepEqual(await resourcesNamed(client, '*.g.io'), [
    { name: 'things.g.io', base: '/apis/g.io/v2', plural: 'things', isNamespaced: true },
    { name: 'olds.g.io', base: '/apis/g.io/v1', plural: 'olds', isNamespaced: false },
  ]);
  assert.equal(asked[0]?.line, 'GET /apis/g.io');
  const none = await serving({ status: 404 });
  assert.deepEqual(await resourcesNamed(none.client, 'things.gone.io'), []);
});

test('many at a time on one client: Node has nothing to warn of', { skip }, async () => {
  const warnings: Error[] = [];
  process.on('warning', (warning) => warnings.push(warning));
  const { client } = await serving({ body: version('1') });
  const work = async (): Promise<void> => {
    for (let i = 0; i < 40; i += 1) await rewriteObject(client, path);
  };
  await Promise.all(Array.from({ length: 16 }, work));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});
