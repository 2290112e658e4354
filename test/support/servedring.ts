// The ring of a host whose daemon runs: changed as a member would change it, and what
// Status says once the daemon has followed.
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatRing, type Ring } from '../../src/keyring/ring.ts';
import type { KmsClient, Status } from './client.ts';
import type { TestHost } from './host.ts';

const everyMs = 50;

/** @param ring a text is put there as it is */
export function putRing(host: TestHost, ring: Ring | string): void {
  writeFileSync(`${host.ringPath}.new`, typeof ring === 'string' ? ring : formatRing(ring));
  renameSync(`${host.ringPath}.new`, host.ringPath);
}

/** @returns its fingerprint; whether the daemon has followed is not asked */
export async function createKek(host: TestHost): Promise<string> {
  const { stdout, stderr } = await host.run('key', 'create', '--json');
  assert.notEqual(stdout, '', stderr);
  return (JSON.parse(stdout) as { fp: string }).fp;
}

/** The first Status that is as expected. */
export async function statusOnce(
  client: KmsClient,
  good: (status: Status) => boolean,
  withinMs: number,
): Promise<Status> {
  for (let tries = 0; tries < withinMs / everyMs; tries += 1) {
    const status = await client.status().catch(() => undefined);
    if (status !== undefined && good(status)) return status;
    await sleep(everyMs);
  }
  throw new Error(`Status has not come to what was expected within ${withinMs} ms`);
}
