// With kubeadm the same change belongs in the ClusterConfiguration, from which an
// upgrade makes the static pod anew. Where the cluster cannot be asked, people are
// told what to do.
import { configFlag, reloadFlag } from '../apiserver/flags.ts';
import { readClusterConfiguration, writeClusterConfiguration } from '../apiserver/kubectl.ts';
import type { ApiserverHost } from './apiserverhost.ts';
import { note, warn } from './terminal.ts';

/** What became of it, for --json. */
export type ClusterOutcome = 'not-kubeadm' | 'unchanged' | 'changed' | 'by-hand';

/** Never fails the command: the files of this host are changed by then. */
export function keepAcrossUpgrades(
  { root, installation, paths }: ApiserverHost,
  edit: (text: string) => string,
): ClusterOutcome {
  if (installation.kind !== 'kubeadm') return 'not-kubeadm';
  const found = root === '/' ? readClusterConfiguration() : { unreachable: 'this is another root' };
  if ('unreachable' in found) return byHand(found.unreachable, paths.config);
  try {
    const text = edit(found.text);
    if (text === found.text) return 'unchanged';
    const refusal = writeClusterConfiguration(text, found.resourceVersion);
    if (refusal !== undefined) return byHand(refusal, paths.config);
    note('changed the ClusterConfiguration of kubeadm, so that an upgrade keeps it');
    return 'changed';
  } catch (error) {
    return byHand(error instanceof Error ? error.message : String(error), paths.config);
  }
}

function byHand(why: string, config: string): ClusterOutcome {
  warn(
    `the ClusterConfiguration of kubeadm was not changed (${why}): before the next kubeadm upgrade run this command again where kubectl works, or edit it by hand: kubectl -n kube-system edit configmap kubeadm-config, apiServer.extraArgs ${configFlag.slice(2)}: ${config} and ${reloadFlag.slice(2)}: "true", apiServer.extraVolumes as in the static pod`,
  );
  return 'by-hand';
}
