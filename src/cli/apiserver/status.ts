// kleidi apiserver status: where kleidi stands in kube-apiserver of this host.

import { openApiserverHost } from '../../admin/apiserver/host.ts';
import { isFlagged } from '../../apiserver/installation.ts';
import { configurationOf, planEnable } from '../../apiserver/plan.ts';
import { print, printJson, table, warn } from '../../terminal.ts';
import { jsonOption } from '../option.ts';
import { hostOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';

export const apiserverStatus = command({
  summary: 'where kleidi stands on this host',
  notes: [
    `Where kleidi stands by the files of this host: the phase of the EncryptionConfiguration, and
    whether kube-apiserver uses it. Exit code 1 where flags or mounts that enable has made
    are gone.`,
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
    const configuration = configurationOf(host);
    const phase = configuration?.phase;
    const isEnabled = isFlagged(host);
    const isIntact =
      !isEnabled || phase === undefined || planEnable(host, phase).changes.length === 0;
    if (options.json) {
      printJson({
        distribution: distribution.name,
        config: paths.config,
        phase: phase ?? null,
        enabled: isEnabled,
        flagFile,
        intact: isIntact,
      });
      return isIntact ? 0 : 1;
    }
    print(
      table([
        ['distribution', `${distribution.name} (${evidence})`],
        ['configuration', `${paths.config}${configuration === undefined ? ' (missing)' : ''}`],
        ['phase', phase ?? 'kleidi is not in it'],
        ['in use', isEnabled ? `yes, by ${flagFile}` : `no, ${flagFile} does not name it`],
      ]),
    );
    if (!isIntact)
      warn(`something of it was changed since: kleidi apiserver plan --phase ${phase} shows what`);
    return isIntact ? 0 : 1;
  },
});
