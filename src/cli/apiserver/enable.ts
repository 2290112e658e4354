// kleidi apiserver enable: kube-apiserver of this host uses kleidi, one phase
// after the other.

import { changeAll, planAsJson, showPlan } from '../../admin/apiserver/apply.ts';
import { noteCluster } from '../../admin/apiserver/cluster.ts';
import {
  parsePhase,
  requireAllSealed,
  requireSafeToWrite,
  requireServing,
} from '../../admin/apiserver/guards.ts';
import {
  type ApiserverHost,
  openApiserverHost,
  scanSubject,
  withApiserverLock,
} from '../../admin/apiserver/host.ts';
import {
  type ClusterOutcome,
  type ClusterPlan,
  planCluster,
} from '../../admin/apiserver/kubeadm.ts';
import { parseClusterUid, readProof } from '../../admin/apiserver/scanproof.ts';
import { EncryptionConfiguration } from '../../apiserver/encryptionconfig.ts';
import { isFlagged } from '../../apiserver/installation.ts';
import { type Phase, phases, requireStep } from '../../apiserver/phase.ts';
import { forgetPhaseTime, phaseSinceUnixMs, recordPhaseTime } from '../../apiserver/phasetime.ts';
import { type Plan, planEnable } from '../../apiserver/plan.ts';
import { note, printJson } from '../../terminal.ts';
import { atMostOne, flag, jsonOption, required, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { hostOptions, scanOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';

const optionTable = {
  phase: required(text('PHASE', 'as above', phases)),
  'ring-digest': text(
    'DIGEST@MEMBER',
    `for write and only: kleidi ring digest --live --named of another member; refused where
      this host's differs`,
  ),
  'single-master': flag('instead: there is no other'),
  'accept-no-recovery': flag('write with a KEK that has no recovery'),
  ...scanOptions(
    `for only: an etcd snapshot, to prove that no Secret is left in clear or under another key:
      of this cluster, and taken some 3 minutes after phase write or later`,
  ),
  ...hostOptions,
  json: jsonOption,
};

export const apiserverEnable = command({
  summary: 'make kube-apiserver use kleidi: --phase read, then write, then only',
  notes: [
    `Makes kube-apiserver of this host use kleidi. Take every API server to one phase before any
    goes to the next:`,
    {
      read: 'reads what kleidi has sealed, writes as before',
      write: 'writes through kleidi, reads both; then rewrite all Secrets',
      only: 'writes through kleidi, and takes nothing in clear any more',
    },
    `Shows what it changes. Safe to repeat. What the files were is kept beside the ring.`,
  ],
  options: optionTable,
  groups: [atMostOne('scan', 'no-scan')],
  remarks: [
    `Which cluster this is (UID of kube-system) is recorded beside the ring, where kubectl works
    or --cluster says it.`,
  ],
  example: 'kleidi apiserver enable --phase read',
  async run(options) {
    const phase = parsePhase(options.given('phase'));
    return withApiserverLock(options.configPath, () => enable(options, phase));
  },
});

type Options = Parsed<typeof optionTable>;

async function enable(options: Options, phase: Phase): Promise<number> {
  const host = await openApiserverHost(options);
  const uid = parseClusterUid(options.text('cluster'));
  const plan = planEnable(host, phase);
  const isUsed = isFlagged(host);
  // Flags that an upgrade has lost do not take this host back to the beginning.
  const from = isUsed || host.record !== undefined ? plan.from : undefined;
  requireStep(from, phase, options.flag('single-master'));
  if (phase !== 'read') await requireAssurances(options, host);
  else if (from === undefined || !isUsed) await requireServing(host.config);
  await noteCluster(host, uid);
  if (phase === 'only' && from !== 'only') await requireRewritten(options, plan, host);
  const cluster = planCluster(
    host,
    (object, text) => object.requireOwnFlag(text, host.paths),
    (object, text) => object.enabled(text, host.paths),
  );
  const outcome = await changeTo(host, phase, plan, cluster);
  const isChanged = plan.changes.length > 0;
  if (options.json) printJson({ ...planAsJson(plan), changed: isChanged, cluster: outcome });
  else {
    showPlan(plan);
    if (isChanged) note(nextStep(phase, plan));
  }
  return 0;
}

/** Since when this host is at a phase is what a later --scan is compared with. */
async function changeTo(
  host: ApiserverHost,
  phase: Phase,
  { changes }: Plan,
  cluster: ClusterPlan,
): Promise<ClusterOutcome> {
  if (changes.length > 0) await forgetPhaseTime(host.recordPath);
  const outcome = await changeAll(host, changes, cluster);
  const isKnown = (await phaseSinceUnixMs(host.recordPath, phase)) !== undefined;
  if (!isKnown) await recordPhaseTime(host.recordPath, phase);
  return outcome;
}

async function requireAssurances(options: Options, { config }: ApiserverHost): Promise<void> {
  await requireSafeToWrite(config, {
    singleMaster: options.flag('single-master'),
    ringDigest: options.text('ring-digest'),
    acceptNoRecovery: options.flag('accept-no-recovery'),
  });
}

async function requireRewritten(options: Options, plan: Plan, host: ApiserverHost): Promise<void> {
  const proof = await readProof(options, scanSubject(host, 'write'));
  if (proof === undefined) return;
  const { paths } = host;
  const after = plan.changes.find(({ path }) => path === paths.config)?.after;
  requireAllSealed(
    proof,
    after === undefined ? ['secrets'] : new EncryptionConfiguration(after, paths).resources,
  );
}

/** A file that is in use already is read again every minute; flags are not, and not by RKE2. */
function nextStep(phase: Phase, { installation, changes }: Plan): string {
  const { restart, flagFile, readsChangesItself } = installation.distribution;
  const isRestarted = !readsChangesItself || changes.some(({ path }) => path === flagFile);
  const how = isRestarted ? restart : 'kube-apiserver reads the file again within two minutes';
  switch (phase) {
    case 'read':
      return `${how}. Next, once every API server is at read: --phase write on each`;
    case 'write':
      return `${how}. Next, once every API server is at write: rewrite all Secrets, then --phase only`;
    case 'only':
      return how;
  }
}
