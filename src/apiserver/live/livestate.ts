// What the running API server of this host is at, against what its files and this ring say.
// Files say what will be; only the API server knows what is.
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { KleidiError } from '../../errors.ts';
import { reloadFlag } from '../flags.ts';
import { flagValues } from '../flagvalues.ts';
import { textAt } from '../hostfiles.ts';
import { type Apiserver, allFlagText } from '../installation.ts';
import { providerName } from '../kmsprovider.ts';
import type { ApiserverClient } from './client.ts';
import { apiserverIdHashOf, type KeyIdAt, type LiveMetrics, liveMetrics } from './metrics.ts';
import { runsSinceThen } from './sincewhen.ts';

export interface LiveState {
  readonly announced: KeyIdAt | undefined;
  readonly written: KeyIdAt | undefined;
  /** Whether it runs on the EncryptionConfiguration that is on disk. */
  readonly runsOnFile: 'yes' | 'no' | 'cannot-tell';
  /** Of its check kms-providers; undefined where it has none: then it uses no KMS. */
  readonly health: Checked | undefined;
  /** All of its checks. */
  readonly ready: Checked;
}

interface Checked {
  readonly isGood: boolean;
  readonly text: string;
}

/** @throws KleidiError apiserver-unreachable, refused: the answer is another host's */
export async function readLive(client: ApiserverClient, apiserver: Apiserver): Promise<LiveState> {
  const metrics = liveMetrics(await client.get('/metrics'), providerName);
  requireOwn(metrics, client);
  const health = await check(client, '/readyz/kms-providers');
  return {
    announced: metrics.announced,
    written: metrics.written,
    // Without a check of a KMS it runs on no configuration that names one.
    runsOnFile: health === undefined ? 'no' : runsOnFile(metrics, apiserver),
    health,
    ready: (await check(client, '/readyz')) ?? { isGood: false, text: 'it has no /readyz' },
  };
}

/** Undefined where it has no such check. */
async function check(client: ApiserverClient, path: string): Promise<Checked | undefined> {
  const { status, body } = await client.call({ method: 'GET', path });
  return status === 404 ? undefined : { isGood: status === 200, text: failed(body) };
}

/** Of a list of checks those that fail, else the answer. */
function failed(body: string): string {
  const bad = body.split('\n').filter((line) => line.startsWith('[-]'));
  return bad.length === 0 ? body.trim() : bad.join(', ');
}

/** A name that leads elsewhere, or a tunnel: what another host says proves nothing here. */
function requireOwn({ apiserverIdHash }: LiveMetrics, { address }: ApiserverClient): void {
  if (apiserverIdHash === undefined || apiserverIdHash === apiserverIdHashOf(hostname())) return;
  throw new KleidiError(
    'refused',
    `${address.host}:${address.port} is answered by the API server of another host (apiserver_id_hash ${apiserverIdHash})`,
    {
      hint: `this host is ${hostname()}: was it renamed since its API server was started? restart that; else see what listens there`,
    },
  );
}

function runsOnFile(metrics: LiveMetrics, apiserver: Apiserver): LiveState['runsOnFile'] {
  const { root, paths } = apiserver;
  const text = textAt(root, paths.config);
  if (text === undefined) return 'cannot-tell';
  if (metrics.configHash !== undefined) {
    const hash = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    return hash === metrics.configHash ? 'yes' : 'no';
  }
  const writtenMs = statSync(join(root, paths.config)).mtimeMs;
  return runsSinceThen(metrics, { writtenMs, reloads: reloads(apiserver), nowMs: Date.now() });
}

function reloads(apiserver: Apiserver): boolean {
  return flagValues(allFlagText(apiserver), reloadFlag.slice(2)).at(-1) === 'true';
}
