// Where kube-apiserver of this host keeps its objects, by its own flags.
import { type Installation, rancherTexts, textAt, unitFiles } from './installation.ts';
import { serverArguments } from './manifest.ts';
import { rancherArguments, rancherUnit } from './rancher.ts';

export interface EtcdFlags {
  /** Every value of --etcd-prefix that is found; empty: the default. */
  readonly prefixes: readonly string[];
  /** Resources that --etcd-servers-overrides keeps in another etcd, as GROUP/RESOURCE. */
  readonly elsewhere: readonly string[];
}

/** @throws KleidiError refused, file-failed */
export function etcdFlags(root: string, installation: Installation): EtcdFlags {
  const text = flagText(root, installation);
  const overrides = valuesOf(text, 'etcd-servers-overrides').join(',').split(',');
  return {
    prefixes: [...new Set(valuesOf(text, 'etcd-prefix'))],
    elsewhere: overrides.map((each) => each.split('#')[0] ?? '').filter((each) => each !== ''),
  };
}

/** kube-apiserver takes `--flag value` and `--flag=value`, with - and _ alike. */
function valuesOf(text: string, flag: string): string[] {
  const name = flag.replaceAll('-', '[-_]');
  const pattern = new RegExp(`(?<![\\w-])(?:--)?${name}(?:=|\\s+)["']?([^\\s"'\\\\]+)`, 'g');
  return [...text.matchAll(pattern)].map(([, value = '']) => value);
}

function flagText(root: string, installation: Installation): string {
  const { kind, evidence } = installation;
  const unit = (path: string): string =>
    [textAt(root, path) ?? '', ...unitFiles(root, path).values()]
      .join('\n')
      .replace(/^\s*[#;].*$/gm, '');
  switch (kind) {
    case 'kubeadm':
      return serverArguments(textAt(root, evidence) ?? '', evidence).join('\n');
    case 'rke2':
    case 'k3s':
      return [...rancherArguments(rancherTexts(root, kind)), unit(rancherUnit(kind))].join('\n');
    case 'unit':
      return unit(evidence);
  }
}
