// kleidi apiserver enable: kube-apiserver of this host uses kleidi, one phase
// after the other.

import { changeTo } from '../../admin/apiserver/apply.ts';
import { planClusterEnable } from '../../admin/apiserver/clusterobject.ts';
import { parsePhase, requireReady, requireRewritten } from '../../admin/apiserver/guards.ts';
import {
  noteCluster,
  openApiserverHost,
  scanSubject,
  withApiserverLock,
} from '../../admin/apiserver/host.ts';
import { awaitLive, type Waiting } from '../../admin/apiserver/livewait.ts';
import { nextStep, report } from '../../admin/apiserver/report.ts';
import { parseClusterUid, readProof } from '../../admin/apiserver/scanproof.ts';
import { askState } from '../../admin/daemonclient.ts';
import { memberName } from '../../admin/ring/membername.ts';
import { type Phase, phases } from '../../apiserver/phase.ts';
import { planEnable } from '../../apiserver/plan.ts';
import type { Config } from '../../config.ts';
import { note } from '../../terminal.ts';
import { atMostOne, flag, jsonOption, requiredText, text } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { hostOptions, scanOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';
import { waitingOf, waitOptions } from '../waitoptions.ts';

const optionTable = {
  phase: requiredText('PHASE', 'as above', phases),
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
  ...waitOptions(`until the running kube-apiserver of this host has taken it up; where that needs
      a restart, do it meanwhile. From phase write on it writes a Secret of kleidi's own to see
      that, and deletes it`),
  ...hostOptions,
  json: jsonOption,
};

export const apiserverEnable = command({
  changes: true,
  summary: 'make kube-apiserver use kleidi: --phase read, then write, then only',
  notes: [
    `Makes kube-apiserver of this host use kleidi. Take every API server to one phase before any
    goes to the next:`,
    {
      read: 'reads what kleidi has sealed, writes as before',
      write: 'writes through kleidi, reads both; then kleidi apiserver rewrite on one',
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
    const waiting = waitingOf(options);
    const exitCode = await withApiserverLock(options.configPath, () => enable(options, phase));
    if (waiting !== undefined) await awaitTakenUp(options, waiting);
    return exitCode;
  },
});

type Options = Parsed<typeof optionTable>;

async function awaitTakenUp(options: Options, waiting: Waiting): Promise<void> {
  const live = await awaitLive(await openApiserverHost(options), waiting);
  note(`the API server of this host runs on it, and has key id ${live.ringKeyIdHash}`);
}

async function enable(options: Options, phase: Phase): Promise<number> {
  const host = await openApiserverHost(options);
  const uid = parseClusterUid(options.text('cluster'));
  const plan = planEnable(host, phase);
  await requireReady(host, plan, phase, {
    singleMaster: options.flag('single-master'),
    ringDigest: options.text('ring-digest'),
    acceptNoRecovery: options.flag('accept-no-recovery'),
  });
  await noteCluster(host, uid);
  await requireRewritten(host, plan, phase, () => readProof(options, scanSubject(host, 'write')));
  const cluster = await changeTo(host, phase, plan, planClusterEnable(host));
  report(options.json, plan, { cluster }, nextStep(phase, plan));
  if (phase === 'read' && !options.json && plan.changes.length > 0)
    await noteNextPhase(host.config);
  return 0;
}

/** The word of this member, ready for the others. A daemon that does not answer gives none. */
async function noteNextPhase({ socket }: Config): Promise<void> {
  const state = await askState(socket).catch(() => undefined);
  if (state === undefined || state.digest === '') return;
  const gate = `--ring-digest ${state.digest}@${memberName()}`;
  note(`on another member then: kleidi apiserver enable --phase write ${gate}`);
}
