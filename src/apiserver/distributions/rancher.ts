// k3s and RKE2: one drop-in of their own configuration, so that nothing that
// exists is edited. `name+:` adds to lists instead of replacing them.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { KleidiError } from '../../errors.ts';
import { configFlag, type Paths, reloadFlag, requireOwnFlag } from '../flags.ts';
import { firstAt, pathsIn, textAt, textsAt } from '../hostfiles.ts';
import type { Distribution, Texts } from './distribution.ts';
import { serviceText, unitOf } from './unitfiles.ts';

type Rancher = 'k3s' | 'rke2';

/** RKE2's agent makes the pod from this, and writes it anew when rke2-server restarts. */
const rke2Pod = '/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml';

export function rancher(kind: Rancher): Distribution {
  const service = kind === 'rke2' ? 'rke2-server' : 'k3s';
  const folder = `/etc/rancher/${kind}`;
  const flagFile = dropInPath(kind);
  const kubeconfig = `${folder}/${kind}.yaml`;
  // What it has made for itself, where secrets encryption is on.
  const generated = `/var/lib/rancher/${kind}/server/cred/encryption-config.json`;
  return {
    name: kind,
    flagFile,
    restart: `systemctl restart ${service}`,
    service,
    readsChangesItself: kind !== 'rke2',
    kubeconfig,
    kubeconfigIsOwn: true,
    ownKeys: { path: generated, providersIn: (text) => carriedProviders(text, generated) },
    clusterObject: undefined,
    find: (root) =>
      isAgent(root, kind, service)
        ? undefined
        : firstAt(root, [kubeconfig, `${folder}/config.yaml`, generated]),
    isFlagged: (text, { config }) => text.includes(config),
    textsBeside: (root) => rancherTexts(root, kind),
    enabled({ beside }, paths) {
      requireNoOtherFlag(beside, paths);
      requireNoneLater(beside, kind);
      return dropInText(kind, paths);
    },
    disabled: () => undefined,
    // k3s reads its configuration at each start.
    hasLoaded: (root, config) =>
      kind === 'rke2' && (textAt(root, rke2Pod)?.includes(config) ?? false),
    // The command line of its unit may hold flags of kube-apiserver, too.
    flagText: (root) =>
      [...rancherArguments(rancherTexts(root, kind)), serviceText(root, service)].join('\n'),
  };
}

/** It has a config.yaml too, and no API server. Before its first start its unit alone tells. */
function isAgent(root: string, kind: Rancher, server: string): boolean {
  const data = join(root, '/var/lib/rancher', kind);
  if (existsSync(join(data, 'server'))) return false;
  const isByUnit =
    unitOf(root, `${kind}-agent`) !== undefined && unitOf(root, server) === undefined;
  return isByUnit || existsSync(join(data, 'agent'));
}

function dropInPath(kind: Rancher): string {
  return `/etc/rancher/${kind}/config.yaml.d/50-kleidi.yaml`;
}

/** config.yaml and its drop-ins, but for ours. */
function rancherTexts(root: string, kind: Rancher): Texts {
  const folder = `/etc/rancher/${kind}`;
  const dropIns = pathsIn(root, `${folder}/config.yaml.d`, /\.ya?ml$/);
  const paths = [`${folder}/config.yaml`, ...dropIns];
  return textsAt(
    root,
    paths.filter((path) => path !== dropInPath(kind)),
  );
}

/**
 * RKE2's API server is a static pod: it needs the folder of the socket, and RKE2 mounts
 * the file of a flag as that one file, so that a new one is seen by a restart alone
 * (rke2, podtemplate.ReadFiles; FILE_HASH makes the pod anew). k3s reads it in place.
 */
function dropInText(kind: Rancher, { socket, config }: Paths): string {
  const folder = dirname(socket);
  const reload = `  - ${reloadFlag.slice(2)}=true\n`;
  const mount = `kube-apiserver-extra-mount+:
  - ${folder}:${folder}:ro
`;
  return `# Written by kleidi apiserver; removed by kleidi apiserver disable.
kube-apiserver-arg+:
  - ${configFlag.slice(2)}=${config}
${kind === 'rke2' ? mount : reload}`;
}

/** @param texts of config.yaml and its drop-ins, by path. @throws KleidiError refused */
function requireNoOtherFlag(texts: Texts, paths: Paths): void {
  for (const each of texts) requireOwnFlag(rancherArguments([each]), each[0], paths);
}

/** Flags of kube-apiserver in config.yaml and its drop-ins, by path. @throws KleidiError refused */
function rancherArguments(texts: Iterable<readonly [string, string]>): string[] {
  return [...texts].flatMap(([path, text]) =>
    Object.entries(fieldsOf(text, path))
      .filter(([name]) => name.replace('+', '') === 'kube-apiserver-arg')
      .flatMap(([, value]) => [value].flat().map((arg) => `--${String(arg).replace(/^--/, '')}`)),
  );
}

/** A later file with the same name and no + would take ours away. @throws KleidiError refused */
function requireNoneLater(texts: Texts, kind: Rancher): void {
  for (const [path, text] of texts) {
    if (dirname(path) !== dirname(dropInPath(kind)) || path < dropInPath(kind)) continue;
    const names = [
      'kube-apiserver-arg',
      ...(kind === 'rke2' ? ['kube-apiserver-extra-mount'] : []),
    ];
    const found = names.find((name) => Object.hasOwn(fieldsOf(text, path), name));
    if (found === undefined) continue;
    throw new KleidiError('refused', `${path} would replace the ${found} of kleidi`, {
      hint: `write ${found}+ there, which adds to the list, then run the command again`,
    });
  }
}

/**
 * The providers of the file that RKE2 or k3s has generated: its key must stay, or
 * what it has sealed could not be read.
 */
function carriedProviders(json: string, path: string): object[] {
  const { resources } = fieldsOf(json, path) as { resources?: { providers?: object[] }[] };
  const providers = (resources ?? []).flatMap((entry) => entry.providers ?? []);
  if (providers.length > 0) return providers;
  throw new KleidiError('refused', `${path} has no providers`, {
    hint: 'is secrets encryption of this distribution half set up? see its secrets-encrypt status',
  });
}

function fieldsOf(text: string, path: string): Record<string, unknown> {
  try {
    return (parse(text, { maxAliasCount: 0 }) ?? {}) as Record<string, unknown>;
  } catch (cause) {
    throw new KleidiError('refused', `${path} is not YAML`, {
      hint: 'fix it by hand first; nothing was changed',
      cause,
    });
  }
}
