// The guards of kleidi apiserver enable, in the order in which they are asked.
import { EncryptionConfiguration } from '../../apiserver/encryptionconfig.ts';
import { isFlagged } from '../../apiserver/installation.ts';
import { type Phase, requireStep } from '../../apiserver/phase.ts';
import type { Plan } from '../../apiserver/plan.ts';
import type { ProvenSnapshot } from '../../snapshot/proof.ts';
import { type Assurances, requireAllSealed, requireSafeToWrite, requireServing } from './guards.ts';
import type { ApiserverHost } from './host.ts';

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
  if (phase !== 'read') await requireSafeToWrite(host.config, given);
  else if (from === undefined || !isFlagged(host)) await requireServing(host.config);
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
