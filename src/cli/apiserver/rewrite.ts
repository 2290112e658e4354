// kleidi apiserver rewrite: what is stored in clear or under an older key id is written anew;
// on the way back, what kleidi has sealed.
import { requireAllSealed, requireNoneSealed } from '../../admin/apiserver/guards.ts';
import {
  type ApiserverHost,
  openApiserverHost,
  scanSubject,
  withApiserverLock,
} from '../../admin/apiserver/host.ts';
import { type Rewritten, resourceNames, rewriteAll } from '../../admin/apiserver/rewrite.ts';
import {
  type MetricsProof,
  proveByMetrics,
  requireBack,
  requireSealing,
  type Writing,
} from '../../admin/apiserver/rewriteproof.ts';
import { readProof } from '../../admin/apiserver/scanproof.ts';
import { providerName } from '../../apiserver/kmsprovider.ts';
import { ApiserverClient } from '../../apiserver/live/client.ts';
import { KleidiError } from '../../errors.ts';
import { keyIdHash } from '../../keyring/keyid.ts';
import { note, print, printJson, table } from '../../terminal.ts';
import { flag, jsonOption, text, texts } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { hostOptions, kubeconfigOption, scanOptions } from '../sharedoptions.ts';
import { command } from '../verb.ts';

const { prefix, cluster } = scanOptions('');
const optionTable = {
  resource: texts(
    'NAME',
    'of these alone, as the EncryptionConfiguration has them (default: all that kleidi seals)',
  ),
  back: flag(
    `the way back, at phase read on every API server: write anew what kleidi has sealed, in clear or
      by the provider of another. Once more, and nothing rewritten: no object is sealed as it is now`,
  ),
  snapshot: text(
    'FILE',
    `an etcd snapshot, for the proof that nothing is left in clear or under another key id: of
      this cluster, and taken after a rewrite; with --back, that nothing that kleidi has sealed is`,
  ),
  prefix,
  cluster,
  kubeconfig: kubeconfigOption,
  ...hostOptions,
  json: jsonOption,
};

export const apiserverRewrite = command({
  changes: true,
  summary: 'write anew what is stored in clear or under an older key id',
  notes: [
    `Writes every object anew that kleidi seals, as it is, through kube-apiserver of this host:
    that stores it under the key id of this ring. It stores nothing where nothing is stale, so that
    the command can be repeated, also after a kill. An object that another has
    changed meanwhile is read again, so nobody's change is lost. What is in objects stays in memory
    and is never shown.`,
    `Refuses unless this kube-apiserver is at phase write or only, and up to date. Other API servers of
    the cluster cannot be seen from here: on each of them kleidi apiserver status --live first. One
    that lags behind writes with the older key id after this run.`,
    `With --back it refuses unless this kube-apiserver is at phase read and writes without kleidi;
    then nothing but kleidi apiserver disable is left.`,
  ],
  options: optionTable,
  remarks: [
    `Exit code 1 where an object was refused (a policy, a webhook, a right): its name and the kind
    of the error are shown, never its contents.`,
  ],
  example: 'kleidi apiserver rewrite',
  run: (options) => withApiserverLock(options.configPath, () => rewrite(options)),
});

type Options = Parsed<typeof optionTable>;

async function rewrite(options: Options): Promise<number> {
  const host = await openApiserverHost(options);
  const names = resourceNames(host, options.texts('resource'));
  const client = ApiserverClient.open(host, options.text('kubeconfig'));
  try {
    const writing = await (options.flag('back') ? requireBack : requireSealing)(host, client);
    const done = await rewriteAll(client, names);
    const proof = done.refused > 0 ? undefined : await proveByMetrics(host, client, writing);
    report(options.json, { done, names, proof, keyId: writing.keyId });
    requireNoneRefused(done);
    await proveBySnapshot(options, host, names, writing);
  } finally {
    client.close();
  }
  return 0;
}

interface Result {
  readonly done: Rewritten;
  readonly names: readonly string[];
  /** Undefined: not asked, as some objects were refused. */
  readonly proof: MetricsProof | undefined;
  /** Undefined: on the way back. */
  readonly keyId: string | undefined;
}

function report(isJson: boolean, result: Result): void {
  const { done, names, proof, keyId } = result;
  const objectsPerSecond = Math.round((done.objects * 1_000) / Math.max(done.durationMs, 1));
  if (isJson) {
    const under = {
      keyId: keyId ?? null,
      keyIdHash: keyId === undefined ? null : keyIdHash(keyId),
    };
    printJson({
      resources: names,
      ...done,
      objectsPerSecond,
      ...under,
      metrics: proof ?? null,
    });
  } else show(result, objectsPerSecond);
}

function show({ done, names, proof, keyId }: Result, perSecond: number): void {
  const { objects, rewritten, unchanged, gone, conflicts, refused, durationMs } = done;
  print(
    table([
      ['objects', `${objects} of ${names.join(', ')}`],
      ['rewritten', String(rewritten)],
      [
        'unchanged',
        `${unchanged} (${keyId === undefined ? 'not sealed' : `under ${keyId}`} before)`,
      ],
      ['gone', String(gone)],
      ['refused', String(refused)],
      ['conflicts', String(conflicts)],
      ['time', `${(durationMs / 1_000).toFixed(1)} s, ${perSecond} objects a second`],
    ]),
  );
  if (proof === 'proved')
    note(
      `this kube-apiserver has written with no key id${keyId === undefined ? '' : ` but ${keyId}`}`,
    );
  if (proof === 'cannot-tell')
    note('its metrics do not say what it has written with: it was started anew, or lacks them');
}

function requireNoneRefused({ refused, refusals }: Rewritten): void {
  if (refused === 0) return;
  const list = refusals.map(({ object, reason }) => `\n  ${object} (${reason})`).join('');
  const more = refused > refusals.length ? `\n  and ${refused - refusals.length} more` : '';
  throw new KleidiError(
    'change-not-applied',
    `${refused} objects stay as they were:${list}${more}`,
    {
      hint: 'the log of kube-apiserver says what refuses them (a policy, a webhook, a right); then run this command again',
    },
  );
}

async function proveBySnapshot(
  options: Options,
  host: ApiserverHost,
  names: readonly string[],
  { keyId, phase }: Writing,
): Promise<void> {
  const file = options.text('snapshot');
  if (file === undefined) return noteProof(keyId);
  const given = (name: 'scan' | 'prefix' | 'cluster'): string | undefined =>
    name === 'scan' ? file : options.text(name);
  const scan = { text: given, flag: () => false };
  const proof = await readProof(scan, scanSubject(host, phase));
  if (proof === undefined) return;
  if (keyId === undefined) requireNoneSealed(proof, providerName);
  else requireAllSealed(proof, names, keyId);
  const none = keyId === undefined ? 'sealed by kleidi' : 'in clear or under another key id';
  note(`${file}: nothing is ${none}`);
}

function noteProof(keyId: string | undefined): void {
  const back = keyId === undefined ? ' --back' : '';
  note(
    `for the proof of all API servers: etcdctl snapshot save FILE, then kleidi apiserver rewrite${back} --snapshot FILE`,
  );
}
