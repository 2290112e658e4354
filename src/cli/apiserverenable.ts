// kleidi apiserver enable: kube-apiserver of this host uses kleidi, one phase
// after the other.

import { enabledClusterConfiguration } from '../apiserver/clusterconfiguration.ts';
import type { Phase } from '../apiserver/encryptionconfig.ts';
import { isFlagged, planEnable, requireStep } from '../apiserver/plan.ts';
import {
  changeFiles,
  hostOptions,
  openApiserverHost,
  planAsJson,
  showPlan,
} from './apiserverhost.ts';
import { keepAcrossUpgrades } from './apiserverkubeadm.ts';
import { parsePhase, readScan, requireAllSealed, requireSafeToWrite } from './apiserverphase.ts';
import { note, printJson } from './terminal.ts';
import { parse, type Verb } from './verb.ts';

export const apiserverEnable: Verb = {
  choices: { phase: ['read', 'write', 'only'], distribution: ['kubeadm', 'rke2', 'k3s', 'unit'] },
  help: `usage: kleidi apiserver enable --phase read|write|only [OPTIONS] [--json]

Makes kube-apiserver of this host use kleidi. Take every API server to one phase
before any goes to the next:

  read    reads what kleidi has sealed, writes as before
  write   writes through kleidi, reads both; then rewrite all Secrets
  only    nothing but kleidi

Shows what it changes. Safe to repeat. What the files were is kept beside the ring.

  --phase PHASE          one of the above
  --ring-digest DIGEST   for write and only: kleidi ring digest --live of another
                         member; refused where this host's differs
  --single-master        instead: there is no other
  --accept-no-recovery   write with a KEK that has no recovery
  --scan FILE            for only: an etcd snapshot, to prove that no Secret is
                         left that kleidi has not sealed
  --no-scan              without that proof
  --distribution NAME    where more than one is found: kubeadm, rke2, k3s, unit
  --root DIR             look at another file system than this host's

example: kleidi apiserver enable --phase read`,

  async run(args) {
    const options = parse(args, {
      ...hostOptions,
      phase: 'text',
      'ring-digest': 'text',
      'single-master': 'flag',
      'accept-no-recovery': 'flag',
      scan: 'text',
      'no-scan': 'flag',
    });
    const phase = parsePhase(options.text('phase'));
    const host = await openApiserverHost(options);
    const plan = planEnable(host.root, host.installation, host.paths, phase);
    const singleMaster = options.flag('single-master');
    const isUsed = isFlagged(host.root, host.installation, host.paths);
    requireStep(isUsed ? plan.from : undefined, phase, singleMaster);
    if (phase !== 'read') {
      await requireSafeToWrite(host.config, {
        singleMaster,
        ringDigest: options.text('ring-digest'),
        acceptNoRecovery: options.flag('accept-no-recovery'),
      });
    }
    if (phase === 'only' && plan.from !== 'only') {
      const snapshot = await readScan(options.text('scan'), options.flag('no-scan'));
      if (snapshot !== undefined) requireAllSealed(snapshot);
    }
    await changeFiles(host, plan.changes);
    const cluster = keepAcrossUpgrades(host, (text) =>
      enabledClusterConfiguration(text, host.paths),
    );
    if (options.json) printJson({ ...planAsJson(plan), changed: plan.changes.length > 0, cluster });
    else {
      showPlan(plan);
      if (plan.changes.length > 0) note(nextStep(phase, isUsed, host.installation.restart));
    }
    return 0;
  },
};

/** A file that is in use already is read again every minute; flags are not. */
function nextStep(phase: Phase, isUsed: boolean, restart: string): string {
  const how = isUsed ? 'kube-apiserver reads the file again within a minute' : restart;
  switch (phase) {
    case 'read':
      return `${how}. Next, once every API server is at read: --phase write on each`;
    case 'write':
      return `${how}. Next, once every API server is at write: rewrite all Secrets, then --phase only`;
    case 'only':
      return how;
  }
}
