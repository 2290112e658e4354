// kleidi apiserver disable: kube-apiserver of this host as it was before kleidi.
import { disabledClusterConfiguration } from '../apiserver/clusterconfiguration.ts';
import { providerName } from '../apiserver/encryptionconfig.ts';
import { planDisable } from '../apiserver/plan.ts';
import { removeRecord } from '../apiserver/record.ts';
import { KleidiError } from '../errors.ts';
import {
  changeFiles,
  hostOptions,
  openApiserverHost,
  planAsJson,
  showPlan,
} from './apiserverhost.ts';
import { keepAcrossUpgrades } from './apiserverkubeadm.ts';
import { readScan, requireNoneSealed } from './apiserverphase.ts';
import { note, printJson } from './terminal.ts';
import { parse, type Verb } from './verb.ts';

export const apiserverDisable: Verb = {
  choices: { distribution: ['kubeadm', 'rke2', 'k3s', 'unit'] },
  help: `usage: kleidi apiserver disable --scan FILE | --no-scan [--distribution NAME] [--root DIR] [--json]

Puts kube-apiserver of this host back to how it was: files that nobody has changed
since byte for byte, others without what kleidi has added. Only from phase read, and
once nothing is left that kleidi has sealed.

  --scan FILE           an etcd snapshot, to prove that nothing is left
  --no-scan             without that proof
  --distribution NAME   where more than one is found: kubeadm, rke2, k3s, unit
  --root DIR            look at another file system than this host's

example: kleidi apiserver disable --scan snapshot.db`,

  async run(args) {
    const options = parse(args, { ...hostOptions, scan: 'text', 'no-scan': 'flag' });
    const host = await openApiserverHost(options);
    const plan = planDisable(host.root, host.installation, host.paths, host.record);
    if (plan.from === 'write' || plan.from === 'only') throw stillWriting(plan.from);
    const snapshot = await readScan(options.text('scan'), options.flag('no-scan'));
    if (snapshot !== undefined) requireNoneSealed(snapshot, providerName);
    await changeFiles(host, plan.changes);
    const cluster = keepAcrossUpgrades(host, (text) =>
      disabledClusterConfiguration(text, host.paths),
    );
    await removeRecord(host.recordPath);
    if (options.json) printJson({ ...planAsJson(plan), changed: plan.changes.length > 0, cluster });
    else {
      showPlan(plan);
      if (plan.changes.length > 0) note(host.installation.restart);
    }
    return 0;
  },
};

function stillWriting(phase: string): KleidiError {
  return new KleidiError(
    'refused',
    `kube-apiserver of this host is at phase ${phase}: it still writes through kleidi`,
    {
      hint: 'on every API server: kleidi apiserver enable --phase read; then rewrite all Secrets, take an etcd snapshot, and disable with --scan',
    },
  );
}
