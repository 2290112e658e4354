// What kleidi adds to a kube-apiserver of kubeadm, in its static pod and in the
// ClusterConfiguration alike: flags, and mounts of folders. Not of files: a file mount
// would keep the inode of a socket or a configuration that has been replaced since.
import { dirname } from 'node:path';
import { type Document, isMap, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import type { Paths } from '../flags.ts';

interface Mount {
  readonly name: string;
  readonly path: string;
}

export function mountsOf({ socket, config }: Paths): readonly Mount[] {
  return [
    { name: 'kleidi-config', path: dirname(config) },
    { name: 'kleidi-socket', path: dirname(socket) },
  ];
}

/** What stays when kleidi is taken out. */
export interface Kept {
  /** @param argument with its value */
  flag(argument: string): boolean;
  mount(name: string): boolean;
}

/**
 * @param keep the text before kleidi, whose flags and mounts stay; where that is not
 *   known, whether the EncryptionConfiguration must stay in use
 */
export function keptOf(keep: string | boolean, read: (text: string) => Kept): Kept {
  if (typeof keep === 'string') return read(keep);
  return { flag: () => keep, mount: (name) => keep && name === 'kleidi-config' };
}

/** An empty one is made where there is none. */
export function listIn(map: YAMLMap, name: string, document: Document): YAMLSeq {
  if (!isSeq(map.get(name))) map.set(name, document.createNode([]));
  return map.get(name) as YAMLSeq;
}

/** By us, or by a mount of the same folder under another name. */
export function isMounted(mounts: YAMLSeq, folder: string): boolean {
  return mounts.items.some((item) => isMap(item) && item.get('mountPath') === folder);
}

export function isOurMount(item: unknown, paths: Paths): boolean {
  return isMap(item) && mountsOf(paths).some(({ name }) => name === String(item.get('name')));
}

/** @param list of volumes, or of their mounts */
export function takeOutMounts(list: unknown, paths: Paths, kept: Kept): void {
  if (!isSeq(list)) return;
  const isGoing = (item: unknown): boolean =>
    isMap(item) && isOurMount(item, paths) && !kept.mount(String(item.get('name')));
  list.items = list.items.filter((item) => !isGoing(item));
}
