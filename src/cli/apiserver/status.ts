// kleidi apiserver status: where kleidi stands in kube-apiserver of this host.

import { type ApiserverHost, openApiserverHost } from '../../admin/apiserver/host.ts';
import { type Live, liveAsJson, liveRows } from '../../admin/apiserver/livereport.ts';
import { askLive } from '../../admin/apiserver/livewait.ts';
import { type Pending, pendingRestart, pendingText } from '../../apiserver/pending.ts';
import type { Phase } from '../../apiserver/phase.ts';
import { type Standing, standingOf } from '../../apiserver/standing.ts';
import { print, printJson, table, warn } from '../../terminal.ts';
import { flag, jsonOption } from '../option.ts';
import { hostOptions, kubeconfigOption } from '../sharedoptions.ts';
import { command } from '../verb.ts';

export const apiserverStatus = command({
  summary: 'where kleidi stands on this host',
  notes: [
    `Where kleidi stands by the files of this host: the phase of the EncryptionConfiguration, and
    whether kube-apiserver uses it. Exit code 1 where flags or mounts that enable has made
    are gone, all of them too. What the running
    kube-apiserver has read is another question: restart pending says that it runs since
    before its flags were written.`,
  ],
  options: {
    live: flag(`ask the running kube-apiserver of this host, at its own address: the key id of its
      last Status and of its last write, the file that it runs on, its check kms-providers. Exit
      code 1 where it does not run on the file, or has another key id than the ring`),
    'try-write':
      flag(`as --live, and tries it: writes a Secret of its own in kube-system and deletes
      it again, to know the key id in use now. At phase read it writes none`),
    kubeconfig: kubeconfigOption,
    ...hostOptions,
    json: jsonOption,
  },
  example: 'kleidi apiserver status --live',
  async run(options) {
    const host = await openApiserverHost(options);
    const standing = standingOf(host, host.record);
    const pending = standing.isEnabled ? pendingRestart(host) : undefined;
    const triesWrite = options.flag('try-write');
    const asking = { kubeconfig: options.text('kubeconfig'), triesWrite };
    const live = options.flag('live') || triesWrite ? await askLive(host, asking) : undefined;
    if (options.json) printJson(asJson(host, standing, pending, live));
    else show(host, standing, pending, live);
    return standing.isIntact && live?.isUpToDate !== false ? 0 : 1;
  },
});

function asJson(
  { distribution, paths }: ApiserverHost,
  { phase, isEnabled, isIntact }: Standing,
  pending: Pending | undefined,
  live: Live | undefined,
): object {
  return {
    distribution: distribution.name,
    config: paths.config,
    phase: phase ?? null,
    enabled: isEnabled,
    flagFile: distribution.flagFile,
    intact: isIntact,
    restartPending: pending === undefined ? null : pendingText(pending),
    ...(live && { live: liveAsJson(live) }),
  };
}

function show(
  { distribution, evidence, paths }: ApiserverHost,
  { hasConfiguration, phase, isEnabled, isIntact }: Standing,
  pending: Pending | undefined,
  live: Live | undefined,
): void {
  const { flagFile } = distribution;
  const rows = [
    ['distribution', `${distribution.name} (${evidence})`],
    ['configuration', `${paths.config}${hasConfiguration ? '' : ' (missing)'}`],
    ['phase', phase ?? 'kleidi is not in it'],
    ['named by flags', isEnabled ? `yes, in ${flagFile}` : `no, not in ${flagFile}`],
  ];
  print(table([...rows, ...(live === undefined ? [] : liveRows(live))]));
  if (!isIntact) warn(howToRepair(phase));
  if (pending !== undefined)
    warn(`restart pending: ${pendingText(pending)}: ${distribution.restart}`);
}

function howToRepair(phase: Phase | undefined): string {
  return phase === undefined
    ? 'kleidi apiserver enable was used here, and the EncryptionConfiguration is without kleidi now: where that is wanted, kleidi apiserver disable ends it'
    : `flags, mounts or the EncryptionConfiguration are not as kleidi apiserver enable has made them: kleidi apiserver plan --phase ${phase} shows what is missing, kleidi apiserver enable --phase ${phase} makes it again`;
}
