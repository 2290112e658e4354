// The one way in which reading a snapshot fails: the file, what is wrong with
// it, and where to get a good one.
import { KleidiError } from '../errors.ts';

export function damaged(path: string, why: string, cause?: unknown): KleidiError {
  return new KleidiError('snapshot-invalid', `${path} cannot be read as an etcd snapshot: ${why}`, {
    hint: 'take a new one: etcdctl snapshot save FILE (k3s, RKE2: etcd-snapshot save, uncompressed)',
    cause,
  });
}
