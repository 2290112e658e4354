// A pod of kleidi, alike in a static pod and in a DaemonSet. It has no network of a cluster, no
// service account and no capability; what it keeps is in folders of its host.
import { containerId, hostFolders } from './hostfolders.ts';

export interface PodWish {
  readonly image: string;
  /** No KEK: it comes from another member. */
  readonly isTokenOnly: boolean;
}

type Yaml = Readonly<Record<string, unknown>>;

const restricted = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};
const asKleidi = {
  ...restricted,
  runAsNonRoot: true,
  runAsUser: containerId,
  runAsGroup: containerId,
};
const machineId = { name: 'machine-id', mountPath: '/etc/machine-id', readOnly: true };

/**
 * Of `spec` in a Pod. The container `commands` does nothing until somebody calls kleidi in it: it
 * may change keys and ring, which the serving one may not.
 */
export function podSpec({ image, isTokenOnly }: PodWish): Yaml {
  const provision = ['provision', ...(isTokenOnly ? ['--token-only'] : [])];
  return {
    // A host that comes up has no network of the cluster yet, and kleidi needs none.
    hostNetwork: true,
    dnsPolicy: 'Default',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    priorityClassName: 'system-node-critical',
    terminationGracePeriodSeconds: 30,
    securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
    initContainers: [
      { ...taker(image), volumeMounts: mounts('write') },
      worker('provision', image, { args: provision, volumeMounts: mounts('write') }),
    ],
    containers: [server(image), commands(image)],
    volumes: [
      ...hostFolders.map(({ name, path }) => hostPath(name, path, 'DirectoryOrCreate')),
      hostPath(machineId.name, machineId.mountPath, 'File'),
    ],
  };
}

function taker(image: string): Yaml {
  return {
    name: 'folders',
    image,
    args: ['take-folders'],
    securityContext: {
      ...restricted,
      runAsUser: 0,
      runAsGroup: 0,
      capabilities: { drop: ['ALL'], add: ['CHOWN'] },
    },
  };
}

function server(image: string): Yaml {
  return worker('kleidi', image, {
    args: ['serve'],
    volumeMounts: mounts('read'),
    resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '768Mi' } },
    // Whether it answers at all. One whose HSM is away answers, and is not killed.
    livenessProbe: probe('[ -n "$(kleidi status --json 2>/dev/null)" ]', 4),
    readinessProbe: probe('kleidi status >/dev/null', 1),
  });
}

function commands(image: string): Yaml {
  return worker('commands', image, {
    // The first process of a container has to end by itself at SIGTERM.
    command: ['/bin/sh', '-c', "trap 'exit 0' TERM; sleep infinity & wait"],
    volumeMounts: mounts('write'),
    resources: { requests: { cpu: '1m', memory: '8Mi' }, limits: { memory: '768Mi' } },
  });
}

function worker(name: string, image: string, rest: Yaml): Yaml {
  return { name, image, securityContext: asKleidi, ...rest };
}

/** A probe is a Node of its own: seldom is enough. */
function probe(command: string, failureThreshold: number): Yaml {
  const exec = { command: ['/bin/sh', '-c', command] };
  return { exec, periodSeconds: 30, timeoutSeconds: 10, failureThreshold };
}

/** The daemon writes its own folder alone. */
function mounts(state: 'read' | 'write'): Yaml[] {
  const folders = hostFolders.map(({ name, path }) => {
    const isFixed = state === 'read' && name !== 'run';
    return { name, mountPath: path, ...(isFixed ? { readOnly: true } : {}) };
  });
  return [...folders, machineId];
}

function hostPath(name: string, path: string, type: string): Yaml {
  return { name, hostPath: { path, type } };
}
