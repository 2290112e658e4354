// k3s and RKE2: one drop-in of their own configuration, so that nothing that
// exists is edited. `name+:` adds to lists instead of replacing them.
import { dirname } from 'node:path';
import { parse } from 'yaml';
import { KleidiError } from '../errors.ts';
import { configFlag, type Paths, reloadFlag, requireOwnFlag } from './flags.ts';

export type Rancher = 'k3s' | 'rke2';

export function rancherFolder(kind: Rancher): string {
  return `/etc/rancher/${kind}`;
}

export function rancherDropIn(kind: Rancher): string {
  return `${rancherFolder(kind)}/config.yaml.d/50-kleidi.yaml`;
}

/** What RKE2 and k3s have made for themselves, where secrets encryption is on. */
export function generatedConfig(kind: Rancher): string {
  return `/var/lib/rancher/${kind}/server/cred/encryption-config.json`;
}

/** RKE2's API server is a static pod and needs the folder of the socket; k3s's is not. */
export function dropInText(kind: Rancher, { socket, config }: Paths): string {
  const folder = dirname(socket);
  const mount = `kube-apiserver-extra-mount+:
  - ${folder}:${folder}:ro
`;
  return `# Written by kleidi apiserver; removed by kleidi apiserver disable.
kube-apiserver-arg+:
  - ${configFlag.slice(2)}=${config}
  - ${reloadFlag.slice(2)}=true
${kind === 'rke2' ? mount : ''}`;
}

/** @param texts of config.yaml and its drop-ins, by path. @throws KleidiError refused */
export function requireNoOtherFlag(texts: ReadonlyMap<string, string>, paths: Paths): void {
  for (const [path, text] of texts) {
    const args = Object.entries(fieldsOf(text, path)).flatMap(([name, value]) =>
      name.replace('+', '') === 'kube-apiserver-arg' ? [value].flat().map(String) : [],
    );
    requireOwnFlag(
      args.map((arg) => `--${arg.replace(/^--/, '')}`),
      path,
      paths,
    );
  }
}

/**
 * The providers of the file that RKE2 or k3s has generated: its key must stay, or
 * what it has sealed could not be read.
 */
export function carriedProviders(json: string, path: string): object[] {
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
      hint: 'mend it by hand first; nothing was changed',
      cause,
    });
  }
}
