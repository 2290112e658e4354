// Doctor's group apiserver: the EncryptionConfiguration that kube-apiserver
// reads names our socket, by the rules of its strict decoder, and the API
// server of this host is told to read it.
import { readFileSync } from 'node:fs';
import { recordedClusterUid } from '../apiserver/clusteruid.ts';
import { faultsIn, parseConfiguration } from '../apiserver/encryptionrules.ts';
import type { Paths } from '../apiserver/flags.ts';
import { type Apiserver, findInstallations, isFlagged } from '../apiserver/installation.ts';
import { isSocket } from '../apiserver/kmsprovider.ts';
import { ChangeRecord, recordPath } from '../apiserver/record.ts';
import { standingOf } from '../apiserver/standing.ts';
import type { Config } from '../config.ts';
import { isErrno } from '../files.ts';
import { type Check, type Findings, fail, notAsUser, ok, type Subject, warn } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';

export const apiserver: Check = {
  group: 'apiserver',
  needs: 'config',

  async run(subject) {
    const config = subject.config();
    const path = config.encryptionConfig;
    try {
      const found = statOf(path);
      if (found === undefined) return notEnabled(path);
      const text = readFileSync(path, 'utf8');
      return [
        modeFinding(path, found, 0o600),
        configurationFindings(text, config),
        await clusterFinding(subject, config),
        await flagFindings(subject, config),
      ];
    } catch (error) {
      if (!isErrno(error, 'EACCES')) throw error;
      return notAsUser(`${path} may not be read`);
    }
  },
};

function notEnabled(path: string): Findings {
  return warn(
    `kube-apiserver does not use kleidi yet: there is no ${path}`,
    'kleidi apiserver plan',
  );
}

const shouldBe = 'kleidi apiserver plan shows what it should be';

interface KmsProvider {
  readonly apiVersion?: string;
  readonly endpoint?: string;
  readonly timeout?: unknown;
}

/** Where the EncryptionConfiguration says nothing (Kubernetes, defaults of apis/apiserver/v1). */
const defaultTimeoutMs = 3_000;

/** @param text of an EncryptionConfiguration */
function configurationFindings(text: string, config: Config): Findings {
  const providers = providersIn(text);
  if (providers === undefined) {
    return fail('it is not an EncryptionConfiguration', shouldBe);
  }
  const ours = providers
    .map((each) => each['kms'] as KmsProvider | undefined)
    .filter((kms) => isSocket(kms?.endpoint, config.socket));
  const [kms] = ours;
  if (kms === undefined || kms === null) {
    return fail(
      `no provider in it has the endpoint unix://${config.socket}`,
      'kleidi apiserver plan',
    );
  }
  const order = providers.map((each) => Object.keys(each)[0] ?? '?').join(', ');
  const faults = faultsIn(parseConfiguration(text));
  return [
    ok(`it names our socket; providers in their order: ${order}`),
    kms.apiVersion === 'v2' ? undefined : fail('its kms provider is not apiVersion: v2', shouldBe),
    timeoutFinding(kms, config),
    faults.map((fault) =>
      fail(`kube-apiserver does not take it: ${fault}`, 'fix it: kube-apiserver would not start'),
    ),
  ];
}

/** An answer that comes after kube-apiserver has given up helps nobody. */
function timeoutFinding({ timeout }: KmsProvider, { limits }: Config): Findings {
  const timeoutMs = timeout === undefined ? defaultTimeoutMs : durationMs(String(timeout));
  if (timeoutMs === undefined || limits.callTimeoutMs < timeoutMs) return undefined;
  return warn(
    `kube-apiserver waits ${timeoutMs} ms for an answer, and kleidi up to ${limits.callTimeoutMs} ms for the token`,
    `set limits.callTimeoutMs in kleidi.yaml below ${timeoutMs}, or raise timeout of the kms provider`,
  );
}

/** A duration as Go writes it, such as 3s, 2.5s or 1m30s; undefined where it is none. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)];
  const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  return parts.reduce((sum, [, value, unit = '']) => sum + Number(value) * (unitMs[unit] ?? 0), 0);
}

function providersIn(text: string): Record<string, unknown>[] | undefined {
  try {
    const { kind, resources } = parseConfiguration(text) as {
      kind?: unknown;
      resources?: { providers?: Record<string, unknown>[] }[];
    };
    if (kind !== 'EncryptionConfiguration') return undefined;
    return (resources ?? []).flatMap(({ providers }) => providers ?? []);
  } catch {
    return undefined;
  }
}

const pathsOf = ({ socket, encryptionConfig }: Config): Paths => ({
  socket,
  config: encryptionConfig,
});

/** Without it no snapshot proves anything: --scan would refuse where it is needed most. */
async function clusterFinding({ root }: Subject, config: Config): Promise<Findings> {
  const paths = pathsOf(config);
  const isUsed = findInstallations(root).some((each) => isFlagged({ ...each, paths }));
  if (!isUsed || (await recordedClusterUid(config.ring)) !== undefined) return undefined;
  return warn(
    'it is not recorded of which cluster this host is: --scan cannot tell what a snapshot proves',
    'run kleidi apiserver enable again with the phase that is in use, where kubectl works',
  );
}

/** Whether what runs kube-apiserver on this host names our file, as enable has made it. */
async function flagFindings({ root }: Subject, config: Config): Promise<Findings> {
  const record = await ChangeRecord.read(recordPath(config.ring));
  return findInstallations(root).map((installation) =>
    standingFinding({ ...installation, paths: pathsOf(config) }, record),
  );
}

function standingFinding(apiserver: Apiserver, record: ChangeRecord | undefined): Findings {
  const where = `${apiserver.distribution.name} (${apiserver.distribution.flagFile})`;
  const { phase, isEnabled, isIntact } = standingOf(apiserver, record);
  if (!isIntact) {
    return fail(
      `kube-apiserver of ${where} has lost flags or mounts that kleidi apiserver enable has made`,
      phase === undefined ? 'kleidi apiserver status' : `kleidi apiserver enable --phase ${phase}`,
    );
  }
  if (isEnabled) return ok(`kube-apiserver reads it, by ${where}`);
  return warn(`kube-apiserver of ${where} does not read it yet`, 'kleidi apiserver plan');
}
