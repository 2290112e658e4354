// kleidi apiserver status: where kleidi stands in kube-apiserver of this host.

import { hostOptions, openApiserverHost } from '../../admin/apiserver/host.ts';
import { phaseOf } from '../../apiserver/encryptionconfig.ts';
import { textAt } from '../../apiserver/hostfiles.ts';
import { isFlagged } from '../../apiserver/installation.ts';
import { planEnable } from '../../apiserver/plan.ts';
import { print, printJson, table, warn } from '../../terminal.ts';
import { parse, type Verb } from '../verb.ts';

export const apiserverStatus: Verb = {
  choices: { distribution: ['kubeadm', 'rke2', 'k3s', 'unit'] },
  help: `usage: kleidi apiserver status [--distribution NAME] [--root DIR] [--json]

Where kleidi stands by the files of this host: the phase of the
EncryptionConfiguration, and whether kube-apiserver is told of it. Exit code 1 where
flags or mounts that enable has made are gone.

  --distribution NAME   where more than one is found: kubeadm, rke2, k3s, unit
  --root DIR            look at another file system than this host's

example: kleidi apiserver status --json`,

  async run(args) {
    const options = parse(args, hostOptions);
    const host = await openApiserverHost(options);
    const { root, distribution, evidence, paths } = host;
    const text = textAt(root, paths.config);
    const phase = text === undefined ? undefined : phaseOf(text, paths.config, paths.socket);
    const isUsed = isFlagged(host);
    const told = distribution.flagFile;
    const isWhole = !isUsed || phase === undefined || planEnable(host, phase).changes.length === 0;
    if (options.json) {
      printJson({
        distribution: distribution.name,
        config: paths.config,
        phase: phase ?? null,
        told: isUsed,
        toldBy: told,
        whole: isWhole,
      });
      return isWhole ? 0 : 1;
    }
    print(
      table([
        ['distribution', `${distribution.name} (${evidence})`],
        ['configuration', `${paths.config}${text === undefined ? ' (missing)' : ''}`],
        ['phase', phase ?? 'kleidi is not in it'],
        ['in use', isUsed ? `yes, by ${told}` : `no, ${told} does not name it`],
      ]),
    );
    if (!isWhole)
      warn(`something of it was changed since: kleidi apiserver plan --phase ${phase} shows what`);
    return isWhole ? 0 : 1;
  },
};
