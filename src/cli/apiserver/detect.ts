// kleidi apiserver detect: how kube-apiserver is run on this host.
import { findInstallations } from '../../apiserver/installation.ts';
import { note, print, printJson, table } from '../../terminal.ts';
import { jsonOption, text } from '../option.ts';
import { command } from '../verb.ts';

export const apiserverDetect = command({
  summary: 'how kube-apiserver is run on this host',
  notes: [
    `How kube-apiserver is run on this host, by the files that are there: kubeadm, RKE2, k3s, or
    a kube-apiserver.service. Exit code 1 where none is found.`,
  ],
  options: {
    root: text('DIR', "look at another file system than this host's"),
    json: jsonOption,
  },
  example: 'kleidi apiserver detect',
  async run({ json, text }) {
    const found = findInstallations(text('root') ?? '/');
    const rows = found.map(({ distribution, evidence }) => [distribution.name, evidence]);
    if (json)
      printJson({ found: rows.map(([distribution, evidence]) => ({ distribution, evidence })) });
    else if (rows.length > 0) print(table([['DISTRIBUTION', 'FOUND BY'], ...rows]));
    else note('no kube-apiserver is found on this host');
    return found.length > 0 ? 0 : 1;
  },
});
