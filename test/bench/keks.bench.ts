// What a ring with many KEKs costs: start of the daemon, latency of Decrypt and
// memory, with 1, 100 and 1,000 KEKs in ring and token.
//
//   node --test test/bench/keks.bench.ts
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pkcs11js from 'pkcs11js';
import { additionalData, seal } from '../../src/keyring/envelope.ts';
import { formatKeyId } from '../../src/keyring/keyid.ts';
import { formatRing, type Ring } from '../../src/keyring/ring.ts';
import { algorithmOf } from '../../src/providers/algorithm.ts';
import { findKeks } from '../../src/providers/pkcs11/aeskek.ts';
import { Pkcs11Module } from '../../src/providers/pkcs11/module.ts';
import { Pkcs11Provider } from '../../src/providers/pkcs11/pkcs11.ts';
import { RefusedPin } from '../../src/providers/pkcs11/refusedpin.ts';
import { Token } from '../../src/providers/pkcs11/token.ts';
import type { KekIdentity } from '../../src/providers/provider.ts';
import { firstModule } from '../../src/softhsm.ts';
import { KmsClient } from '../support/client.ts';
import { TestHost } from '../support/host.ts';
import { residentMb } from './peak.ts';

const sizes = [1, 100, 1_000];
const calls = 4_000;
/** Of the median at 1 KEK; the cost must not grow with their number. */
const maxRatio = 1.5;

interface Sealed {
  readonly ciphertext: Buffer;
  readonly keyId: string;
}

interface Measured {
  readonly startMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly rssMb: number;
}

const settings = (host: TestHost) => ({
  module: firstModule(),
  token: 'kleidi',
  softhsmConf: host.softhsmConf,
  runtimeDir: join(host.folder, 'run'),
  callTimeoutMs: 2_500,
  openTimeoutMs: 10_000,
});

/** Straight in the token: the ceremony makes an RSA key for each. */
async function makeKeks(host: TestHost, count: number): Promise<KekIdentity[]> {
  const { module: path, softhsmConf, runtimeDir } = settings(host);
  const module = Pkcs11Module.open(path, softhsmConf);
  const refusedPin = new RefusedPin(runtimeDir);
  const access = { label: 'kleidi', pin: host.pin, refusedPin, writable: true };
  const token = await Token.open(module, access);
  const flags = [
    'CKA_TOKEN',
    'CKA_PRIVATE',
    'CKA_SENSITIVE',
    'CKA_ENCRYPT',
    'CKA_DECRYPT',
    'CKA_SIGN',
  ];
  for (let i = findKeks(token).keks.length; i < count; i += 1) {
    module.api.C_GenerateKey(token.anchor, { mechanism: pkcs11js.CKM_AES_KEY_GEN }, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_SECRET_KEY },
      { type: pkcs11js.CKA_KEY_TYPE, value: pkcs11js.CKK_AES },
      { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
      { type: pkcs11js.CKA_EXTRACTABLE, value: false },
      ...flags.map((flag) => ({ type: Number(Reflect.get(pkcs11js, flag)), value: true })),
    ]);
  }
  const keks = findKeks(token).keks.map(({ fp, check }) => ({ fp, check }));
  module.close();
  return keks;
}

/** One seed under each of some KEKs, spread over all of them. */
async function sealUnder(host: TestHost, ring: Ring): Promise<Sealed[]> {
  const provider = await Pkcs11Provider.openHere(settings(host), host.pin);
  const step = Math.ceil(ring.keks.length / 50);
  const fps = ring.keks.map((kek) => kek.fp).filter((_, i) => i % step === 0);
  await provider.load(fps);
  const { alg } = algorithmOf(provider.kind);
  const sealed: Sealed[] = [];
  for (const fp of fps) {
    const keyId = formatKeyId({ ring: ring.ring, generation: ring.generation, fp });
    const aad = additionalData(alg, fp, keyId);
    const body = await provider.wrap(fp, randomBytes(32), aad);
    sealed.push({ ciphertext: seal({ alg, fp, body }), keyId });
  }
  await provider.close();
  return sealed;
}

async function measure(host: TestHost, sealed: readonly Sealed[]): Promise<Measured> {
  const startMs = Date.now();
  const daemon = await host.serve();
  const readyMs = Date.now() - startMs;
  const client = new KmsClient(host.socket);
  assert.equal((await client.status()).healthz, 'ok', 'every KEK is held and verified');
  const took: number[] = [];
  for (let i = 0; i < calls; i += 1) {
    const { ciphertext, keyId } = sealed[i % sealed.length] ?? assert.fail();
    const before = performance.now();
    await client.decrypt(ciphertext, keyId);
    took.push(performance.now() - before);
  }
  await sleep(2_000);
  const rssMb = residentMb(daemon.pid, 'VmRSS');
  client.close();
  await daemon.stop();
  took.sort((a, b) => a - b);
  const at = (part: number): number => took[Math.floor(part * (took.length - 1))] ?? 0;
  return { startMs: readyMs, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), rssMb };
}

test('1, 100 and 1,000 KEKs', async (t) => {
  // Self-tests are under way while it is measured: they go over every KEK.
  const host = await TestHost.provisioned({ selfTest: { intervalMs: 1_000 } });
  const { ring } = host;
  const write = ring.keks[0]?.fp;
  const results: Measured[] = [];
  for (const size of sizes) {
    const made = await makeKeks(host, size);
    const created = new Date().toISOString();
    const keks = made.map(({ fp, check }) => ({
      ...({ fp, check, provider: 'pkcs11', recovery: null, created } as const),
      state: fp === write ? ('write' as const) : ('read' as const),
    }));
    const full: Ring = { ...ring, keks };
    writeFileSync(host.ringPath, formatRing(full));
    const sealed = await sealUnder(host, full);
    const result = await measure(host, sealed);
    results.push(result);
    const { startMs, p50Ms, p99Ms, maxMs, rssMb } = result;
    t.diagnostic(
      `${made.length} KEKs: start ${startMs} ms; Decrypt p50 ${p50Ms.toFixed(2)}, p99 ${p99Ms.toFixed(2)}, max ${maxMs.toFixed(1)} ms; ${rssMb.toFixed(0)} MB`,
    );
  }
  const [one, , thousand] = results;
  const ratio = (thousand?.p50Ms ?? 0) / (one?.p50Ms ?? 1);
  t.diagnostic(`median Decrypt with 1,000 KEKs is ${ratio.toFixed(2)} times that with 1`);
  assert.ok(ratio < maxRatio);
});
