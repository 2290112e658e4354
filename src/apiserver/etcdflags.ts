// Where kube-apiserver of this host keeps its objects, by its own flags.
import { flagValues } from './flagvalues.ts';
import type { Installation } from './installation.ts';

interface EtcdFlags {
  /** Every value of --etcd-prefix that is found; empty: the default. */
  readonly prefixes: readonly string[];
  /** Resources that --etcd-servers-overrides keeps in another etcd, as GROUP/RESOURCE. */
  readonly elsewhere: readonly string[];
}

/** @throws KleidiError refused, file-failed */
export function etcdFlags({ root, distribution, evidence }: Installation): EtcdFlags {
  const text = distribution.flagText(root, evidence);
  const overrides = flagValues(text, 'etcd-servers-overrides').join(',').split(',');
  return {
    prefixes: [...new Set(flagValues(text, 'etcd-prefix'))],
    elsewhere: overrides.map((each) => each.split('#')[0] ?? '').filter((each) => each !== ''),
  };
}
