// How long and with how much memory `snapshot scan` reads 100,000 objects from a
// snapshot of a real etcd. Limits: 30 s and 300 MB.
//
//   node --test test/bench/snapshot.bench.ts
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KmsClient } from '../support/client.ts';
import { type Entry, Etcd } from '../support/etcd.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { clearObject, newSeed, type SealedSeed, sealObject } from '../support/kubestore.ts';
import { missingTool } from '../support/skip.ts';
import { watchPeakMb } from './peak.ts';

const objects = 100_000;
const distinctSeeds = 200;
const maxMs = 30_000;
const maxMb = 300;

test('100,000 objects', { skip: missingTool('etcd', 'etcdctl') }, async (t) => {
  const folder = temporaryFolder();
  const host = await TestHost.provisioned();
  await host.serve();
  const client = new KmsClient(host.socket);
  const seeds: SealedSeed[] = [];
  for (let i = 0; i < distinctSeeds; i += 1) seeds.push(await newSeed(client));
  const etcd = await Etcd.start(join(folder, 'etcd'));
  const entry = (i: number): Entry => {
    const seed = seeds[i % distinctSeeds];
    const name = `ns-${i % 500}/object-${i}`;
    if (i % 5 === 4 || seed === undefined)
      return clearObject(`/registry/pods/${name}`, 'x'.repeat(1_500));
    return sealObject(`/registry/secrets/${name}`, randomBytes(1_500), seed);
  };
  for (let i = 0; i < objects; i += 1_280) {
    await etcd.put(...Array.from({ length: Math.min(1_280, objects - i) }, (_, n) => entry(i + n)));
  }
  // A tenth has earlier revisions.
  for (let i = 0; i < objects / 10; i += 1_280) {
    await etcd.put(...Array.from({ length: 1_280 }, (_, n) => entry(i + n)));
  }
  const file = etcd.snapshot(join(folder, 'snapshot.db'));
  t.diagnostic(`file ${Math.round(statSync(file).size / 2 ** 20)} MiB`);
  for (const args of [[], ['--verify']]) {
    let peak = (): number => 0;
    const startMs = Date.now();
    const started = (child: Parameters<typeof watchPeakMb>[0]): void => {
      peak = watchPeakMb(child);
    };
    const { exitCode, stderr } = await host.runWith({ started }, 'snapshot', 'scan', file, ...args);
    const tookMs = Date.now() - startMs;
    t.diagnostic(`scan ${args} ${tookMs} ms, ${Math.round(peak())} MB`);
    assert.equal(exitCode, 0, stderr);
    assert.ok(tookMs < maxMs && peak() < maxMb);
  }
});
