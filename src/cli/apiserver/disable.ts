// kleidi apiserver disable: kube-apiserver of this host as it was before kleidi.

import { changeAll, recordDisabled } from '../../admin/apiserver/apply.ts';
import { planClusterDisable } from '../../admin/apiserver/clusterobject.ts';
import { requireNoneSealed } from '../../admin/apiserver/guards.ts';
import {
  type ApiserverHost,
  openApiserverHost,
  scanSubject,
  withApiserverLock,
} from '../../admin/apiserver/host.ts';
import { report } from '../../admin/apiserver/report.ts';
import { readProof } from '../../admin/apiserver/scanproof.ts';
import { textAt } from '../../apiserver/hostfiles.ts';
import { isFlagged } from '../../apiserver/installation.ts';
import { providerName } from '../../apiserver/kmsprovider.ts';
import { type Plan, planDisable } from '../../apiserver/plan.ts';
import { KleidiError } from '../../errors.ts';
import { note } from '../../terminal.ts';
import { jsonOption, oneOf } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { hostOptions, scanOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';

const optionTable = {
  ...scanOptions(
    `an etcd snapshot, to prove that nothing is left: of this cluster, and taken some 3 minutes
      after phase read or later`,
  ),
  ...hostOptions,
  json: jsonOption,
};

export const apiserverDisable = command({
  changes: true,
  summary: 'back to how it was, once nothing is sealed any more',
  notes: [
    `Puts kube-apiserver of this host back to how it was: files that were not changed since
    byte for byte, others without what kleidi has added. Only from phase read, and once nothing
    is left that kleidi has sealed. While kube-apiserver would be started with its old flags (a
    unit that systemd has not reloaded, RKE2 until its restart), the EncryptionConfiguration
    stays, without kleidi; the same command once more removes it.`,
  ],
  options: optionTable,
  groups: [oneOf('scan', 'no-scan')],
  example: 'kleidi apiserver disable --scan snapshot.db',
  async run(options) {
    return withApiserverLock(options.configPath, () => disable(options));
  },
});

type Options = Parsed<typeof optionTable>;

async function disable(options: Options): Promise<number> {
  const host = await openApiserverHost(options);
  if (host.record === undefined && !isFlagged(host)) return reportUnused(host, options.json);
  const isLoaded = host.distribution.hasLoaded(host.root, host.paths.config);
  const plan = planDisable(host, host.record, isLoaded);
  requireNotWriting(plan);
  const proof = await readProof(options, scanSubject(host, 'read'));
  if (proof !== undefined) requireNoneSealed(proof, providerName);
  const cluster = await changeAll(host, plan.changes, planClusterDisable(host));
  const stays = isLoaded && isToGo(host);
  if (!stays) await recordDisabled(host);
  report(options.json, plan, { cluster, stays }, host.distribution.restart);
  if (stays && !options.json) note(whyStays(host));
  return 0;
}

/** Never enabled, or disabled before: its EncryptionConfiguration is used by nothing, and stays. */
function reportUnused(host: ApiserverHost, isJson: boolean): number {
  const { distribution, evidence } = host;
  if (isJson) {
    const plan: Plan = { installation: host, from: undefined, to: undefined, changes: [] };
    report(true, plan, { cluster: 'unchanged', stays: false }, '');
  } else
    note(
      `nothing to change: kube-apiserver of ${distribution.name} (${evidence}) does not use kleidi`,
    );
  return 0;
}

/** It is kleidi's own, and there still. */
function isToGo({ root, paths, record }: ApiserverHost): boolean {
  const isOurs = record?.firstOf(paths.config) === '';
  return isOurs && textAt(root, paths.config) !== undefined;
}

function whyStays({ paths, distribution }: ApiserverHost): string {
  return `${paths.config} stays, without kleidi: kube-apiserver would be started with the old flags until ${distribution.restart}. Then run this command again: it removes the file`;
}

function requireNotWriting({ from }: Plan): void {
  if (from !== 'write' && from !== 'only') return;
  throw new KleidiError(
    'refused',
    `kube-apiserver of this host is at phase ${from}: it still writes through kleidi`,
    {
      hint: 'on every API server: kleidi apiserver enable --phase read; then rewrite all Secrets, take an etcd snapshot, and disable with --scan',
    },
  );
}
