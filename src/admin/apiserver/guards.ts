// The guards of a phase: two masters must never write with keys that the other
// lacks, and nothing may be sealed under a key that cannot be recovered.

import { EncryptionConfiguration } from '../../apiserver/encryptionconfig.ts';
import { isFlagged } from '../../apiserver/installation.ts';
import { providerName } from '../../apiserver/kmsprovider.ts';
import { pendingRestart, pendingText } from '../../apiserver/pending.ts';
import { type Phase, requireStep } from '../../apiserver/phase.ts';
import type { Plan } from '../../apiserver/plan.ts';
import type { Config } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import { writeKekOf } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import type { StateResponse } from '../../kms/contract.ts';
import { cannotTell, type ProvenSnapshot } from '../../snapshot/proof.ts';
import { foreignResource } from '../../snapshot/snapshot.ts';
import type { SealCount } from '../../snapshot/tally.ts';
import { askState } from '../daemonclient.ts';
import { digestOfAnother } from '../ring/membername.ts';
import type { ApiserverHost } from './host.ts';
import { requireNoContradiction } from './livewait.ts';

export function parsePhase(text: string): Phase {
  if (text === 'read' || text === 'write' || text === 'only') return text;
  throw usage(`'${text}' is no phase: read, write or only`);
}

interface Assurances {
  readonly ringDigest: string | undefined;
  readonly singleMaster: boolean;
  readonly acceptNoRecovery: boolean;
}

/** @throws KleidiError usage, refused, not-running */
async function requireSafeToWrite(config: Config, given: Assurances): Promise<void> {
  const expected = parseDigest(given);
  const state = await requireServing(config);
  if (expected !== undefined && state.digest !== expected) {
    throw new KleidiError(
      'refused',
      `the ring of this host is another: ${state.digest}, expected is ${expected}`,
      {
        hint: 'kleidi ring digest --live must be the same on every host before any of them writes; see kleidi ring adopt',
      },
    );
  }
  await requireRecovery(config, given);
}

/**
 * kube-apiserver needs Status and Encrypt of every kms provider that it is told of, also
 * of one that it only reads with, and is not ready without.
 * @throws KleidiError refused, not-running
 */
async function requireServing(config: Config): Promise<StateResponse> {
  const state = await askState(config.socket);
  if (state.failure === '' && state.healthz === 'ok') return state;
  throw new KleidiError(
    'refused',
    `the daemon on this host is not healthy: ${state.failure || state.healthz}`,
    { hint: 'fix that first: kleidi status, kleidi doctor' },
  );
}

function parseDigest({ ringDigest, singleMaster }: Assurances): string | undefined {
  if (singleMaster && ringDigest === undefined) return undefined;
  if (singleMaster || ringDigest === undefined) {
    throw usage(
      '--ring-digest DIGEST@MEMBER of another member (there: kleidi ring digest --live --named), or --single-master?',
    );
  }
  return digestOfAnother(ringDigest);
}

async function requireRecovery(config: Config, { acceptNoRecovery }: Assurances): Promise<void> {
  const kek = writeKekOf(await readRing(config.ring));
  if (acceptNoRecovery || kek?.recovery !== null) return;
  throw new KleidiError(
    'refused',
    `the write KEK ${kek.fp} has no recovery: if the tokens are lost, so is everything sealed under it`,
    {
      hint: 'make one with a recovery key (kleidi recovery create; key create --recovery PUB=SHA256) and promote it, or say --accept-no-recovery',
    },
  );
}

/**
 * Before phase only: whatever is in clear would be unreadable, and what is under another
 * key has not been rewritten.
 * @param keyId where none but this one will do
 */
export function requireAllSealed(
  { snapshot }: ProvenSnapshot,
  resources: readonly string[],
  keyId?: string,
): void {
  const group = resources.find((name) => name.startsWith('*') && name !== '*.*');
  if (group !== undefined) {
    const why = `which objects are of ${group} cannot be recognised by their names in etcd`;
    throw cannotTell(snapshot.path, why, 'look with kleidi snapshot scan');
  }
  const isOurs = ({ seal }: SealCount): boolean =>
    seal.kind === 'kms-v2' &&
    seal.provider === providerName &&
    (keyId === undefined || seal.keyId === keyId);
  const left = snapshot.counts.filter(
    (count) => isCovered(count.resource, resources) && !isOurs(count) && count.live > 0,
  );
  requireNone(
    left,
    `${snapshot.path} holds objects that ${keyId === undefined ? 'kleidi has not sealed' : `are not under key id ${keyId}`}`,
    'rewrite them with kleidi apiserver rewrite, once every API server is up to date (kleidi apiserver status --live), then take a new snapshot',
  );
}

/** The place in etcd of what is built in lacks its group: deployments.apps is deployments there. */
function isCovered(resource: string, names: readonly string[]): boolean {
  if (resource === foreignResource) return false;
  return names.some((name) => [name, name.split('.')[0]].includes(resource) || name === '*.*');
}

/** Before disable: whatever kleidi has sealed would be unreadable. */
export function requireNoneSealed({ snapshot }: ProvenSnapshot, provider: string): void {
  const left = snapshot.counts.filter(
    ({ seal, live, older }) => live + older > 0 && 'provider' in seal && seal.provider === provider,
  );
  requireNone(
    left,
    `${snapshot.path} holds objects that kleidi has sealed`,
    'with phase read on every API server, rewrite them, and take a new snapshot; earlier states of objects go with the next compaction, within 5 minutes',
  );
}

function requireNone(left: readonly SealCount[], what: string, hint: string): void {
  if (left.length === 0) return;
  const told = ({ resource, live, older, example }: SealCount): string =>
    `${live || `${older} earlier`} ${resource} (${example})`;
  throw new KleidiError('refused', `${what}: ${left.map(told).join(', ')}`, { hint });
}

/** Flags that an upgrade has lost do not take a host back to the beginning. */
function phaseInUse(host: ApiserverHost, plan: Plan): Phase | undefined {
  return isFlagged(host) || host.record !== undefined ? plan.from : undefined;
}

/**
 * That this host may go to the phase, and that its daemon serves what the phase needs.
 * @throws KleidiError usage, refused, not-running
 */
export async function requireReady(
  host: ApiserverHost,
  plan: Plan,
  phase: Phase,
  given: Assurances,
): Promise<void> {
  const from = phaseInUse(host, plan);
  requireStep(from, phase, given.singleMaster);
  if (phase !== 'read') {
    requireRestarted(host);
    await requireNoContradiction(host, plan);
    await requireSafeToWrite(host.config, given);
  } else if (from === undefined || !isFlagged(host)) await requireServing(host.config);
}

/** At phase read by its files, and not by what it runs with: what others write it could not read. */
function requireRestarted(host: ApiserverHost): void {
  const pending = pendingRestart(host);
  if (pending?.kind !== 'older') return;
  throw new KleidiError(
    'refused',
    `kube-apiserver of this host is not at phase read: ${pendingText(pending)}`,
    {
      hint: `${host.distribution.restart}; then run the command again`,
    },
  );
}

/**
 * Before phase only: whatever kleidi has not sealed could not be read any more.
 * @param readProof undefined where the operator goes without
 * @throws KleidiError usage, refused, scan-cannot-tell, snapshot-invalid
 */
export async function requireRewritten(
  host: ApiserverHost,
  plan: Plan,
  phase: Phase,
  readProof: () => Promise<ProvenSnapshot | undefined>,
): Promise<void> {
  if (phase !== 'only' || phaseInUse(host, plan) === 'only') return;
  const proof = await readProof();
  if (proof === undefined) return;
  const { paths } = host;
  const after = plan.changes.find(({ path }) => path === paths.config)?.after;
  const covered =
    after === undefined ? ['secrets'] : new EncryptionConfiguration(after, paths).resources;
  requireAllSealed(proof, covered);
}
