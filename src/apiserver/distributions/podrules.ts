// What a static pod must be, so that kube-apiserver in it reaches the socket and
// sees each new EncryptionConfiguration. Refused here, it would be found out later
// by an API server that does not become ready, or that never changes its phase.
import { dirname, posix } from 'node:path';
import { KleidiError } from '../../errors.ts';
import type { Paths } from '../flags.ts';
import { mountsOf } from './additions.ts';

interface Pod {
  readonly spec?: {
    readonly securityContext?: User;
    readonly volumes?: readonly { name?: string; hostPath?: { path?: string } }[];
    readonly containers?: readonly Container[];
  };
}

interface Container {
  readonly name?: string;
  readonly securityContext?: User;
  readonly volumeMounts?: readonly { name?: string; mountPath?: string }[];
}

interface User {
  readonly runAsUser?: number;
}

/** Neither the file (root, 0600) nor the socket is for another user. @throws KleidiError refused */
export function requireRootUser(pod: unknown, path: string): void {
  const { spec } = pod as Pod;
  const user =
    containerOf(pod)?.securityContext?.runAsUser ?? spec?.securityContext?.runAsUser ?? 0;
  if (user === 0) return;
  throw new KleidiError('refused', `kube-apiserver of ${path} runs as user ${user}, not as root`, {
    hint: 'it could read neither the EncryptionConfiguration nor the socket: turn off RootlessControlPlane, or set it up by hand (/usr/share/doc/kleidi/operations.md)',
  });
}

/** @throws KleidiError refused */
export function requireUsableMounts(pod: unknown, path: string, paths: Paths): void {
  const { socket, config } = paths;
  const mounts = containerOf(pod)?.volumeMounts ?? [];
  const single = mounts.find(({ mountPath }) => mountPath === socket || mountPath === config);
  if (single !== undefined) {
    throw new KleidiError('refused', `${path} mounts ${single.mountPath} as a single file`, {
      hint: `a file that takes its place would never be seen: mount its folder ${dirname(single.mountPath ?? '')} instead, read-only`,
    });
  }
  for (const each of mountsOf(paths)) requireSameFolder(pod, path, each.path);
  const taken = mountsOf(paths).find(
    ({ name, path: folder }) => (hostPathOf(pod, name) ?? folder) !== folder,
  );
  if (taken === undefined) return;
  throw new KleidiError('refused', `${path} has a volume ${taken.name} of another folder`, {
    hint: `it should be ${taken.path}: rename that volume, then run the command again`,
  });
}

/** What stands there in the pod must be what stands there on the host. */
function requireSameFolder(pod: unknown, path: string, folder: string): void {
  const mount = containerOf(pod)?.volumeMounts?.find(
    ({ mountPath }) => posix.normalize(`${mountPath}/`) === posix.normalize(`${folder}/`),
  );
  const source = hostPathOf(pod, mount?.name);
  if (mount === undefined || source === folder) return;
  throw new KleidiError('refused', `${path} mounts ${source ?? 'something else'} at ${folder}`, {
    hint: `mount the host's ${folder} there, read-only, then run the command again`,
  });
}

function hostPathOf(pod: unknown, name: string | undefined): string | undefined {
  const volume = (pod as Pod).spec?.volumes?.find((each) => each.name === name);
  return volume?.hostPath?.path?.replace(/(?<=.)\/+$/, '');
}

function containerOf(pod: unknown): Container | undefined {
  return (pod as Pod).spec?.containers?.find(({ name }) => name === 'kube-apiserver');
}
