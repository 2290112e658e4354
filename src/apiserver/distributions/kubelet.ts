// Where the kubelet of a host reads static pods: kubeadm's place, unless its settings say
// another. A flag wins over its configuration file, as it does for the kubelet.
import { posix } from 'node:path';
import { parse } from 'yaml';
import { textAt } from '../hostfiles.ts';
import { serviceText } from './unitfiles.ts';

const defaultFolder = '/etc/kubernetes/manifests';
const defaultConfig = '/var/lib/kubelet/config.yaml';

/** @throws KleidiError file-failed */
export function staticPodFolder(root: string): string {
  // kubeadm keeps flags of its kubelet in a file that its drop-in names.
  const flags = serviceText(root, 'kubelet');
  const config = flagIn(flags, 'config') ?? defaultConfig;
  const folder = flagIn(flags, 'pod-manifest-path') ?? pathIn(textAt(root, config));
  return folder === undefined ? defaultFolder : posix.resolve(posix.dirname(config), folder);
}

/** The last one counts. */
function flagIn(text: string, name: string): string | undefined {
  const found = [...text.matchAll(new RegExp(`--${name}[= ]["']?([^\\s"']+)`, 'g'))].at(-1)?.[1];
  return found?.startsWith('/') ? found : undefined;
}

/** What is not YAML is the kubelet's to complain of. */
function pathIn(text: string | undefined): string | undefined {
  try {
    const { staticPodPath } = (parse(text ?? '') ?? {}) as { staticPodPath?: unknown };
    return typeof staticPodPath === 'string' && staticPodPath !== '' ? staticPodPath : undefined;
  } catch {
    return undefined;
  }
}
