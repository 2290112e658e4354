// kleidi apiserver status: where kleidi stands in kube-apiserver of this host.

import { openApiserverHost } from '../../admin/apiserver/host.ts';
import { pendingRestart, pendingText } from '../../apiserver/pending.ts';
import type { Phase } from '../../apiserver/phase.ts';
import { standingOf } from '../../apiserver/standing.ts';
import { print, printJson, table, warn } from '../../terminal.ts';
import { jsonOption } from '../option.ts';
import { hostOptions } from '../sharedoptions.ts';
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
    ...hostOptions,
    json: jsonOption,
  },
  example: 'kleidi apiserver status --json',
  async run(options) {
    const host = await openApiserverHost(options);
    const { distribution, evidence, paths } = host;
    const { flagFile } = distribution;
    const { hasConfiguration, phase, isEnabled, isIntact } = standingOf(host, host.record);
    const exitCode = isIntact ? 0 : 1;
    const pending = isEnabled ? pendingRestart(host) : undefined;
    if (options.json) {
      printJson({
        distribution: distribution.name,
        config: paths.config,
        phase: phase ?? null,
        enabled: isEnabled,
        flagFile,
        intact: isIntact,
        restartPending: pending === undefined ? null : pendingText(pending),
      });
      return exitCode;
    }
    print(
      table([
        ['distribution', `${distribution.name} (${evidence})`],
        ['configuration', `${paths.config}${hasConfiguration ? '' : ' (missing)'}`],
        ['phase', phase ?? 'kleidi is not in it'],
        ['named by flags', isEnabled ? `yes, in ${flagFile}` : `no, not in ${flagFile}`],
      ]),
    );
    if (!isIntact) warn(howToRepair(phase));
    if (pending !== undefined)
      warn(`restart pending: ${pendingText(pending)}: ${distribution.restart}`);
    return exitCode;
  },
});

function howToRepair(phase: Phase | undefined): string {
  return phase === undefined
    ? 'kleidi apiserver enable was used here, and the EncryptionConfiguration is without kleidi now: where that is wanted, kleidi apiserver disable ends it'
    : `flags, mounts or the EncryptionConfiguration are not as kleidi apiserver enable has made them: kleidi apiserver plan --phase ${phase} shows what is missing, kleidi apiserver enable --phase ${phase} makes it again`;
}
