// kubeadm's static pod of kube-apiserver: flags, and the folders of socket and
// configuration mounted read-only. Folders, not files: a file mount would keep
// the inode of a socket or a configuration that has been replaced since.
import { dirname } from 'node:path';
import { type Document, isMap, isScalar, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import { KleidiError } from '../../errors.ts';
import { configFlag, joined, type Paths, reloadFlag, requireOwnFlag } from '../flags.ts';
import { parseDocument, plainOf, printDocument } from '../yamlfile.ts';
import { requireNoAliases, requireRestUntouched, type Touched } from '../yamlrules.ts';
import { requireRootUser, requireUsableMounts } from './podrules.ts';

export interface Mount {
  readonly name: string;
  readonly path: string;
}

export function mountsOf({ socket, config }: Paths): readonly Mount[] {
  return [
    { name: 'kleidi-config', path: dirname(config) },
    { name: 'kleidi-socket', path: dirname(socket) },
  ];
}

/** @throws KleidiError refused */
export function enabledManifest(text: string, path: string, paths: Paths): string {
  const document = parseDocument(text, path);
  const touched = touchedIn(document, path, paths);
  const { command, spec, container } = partsOf(document.contents, path);
  requireOwnFlag(argumentsOf(command), path, paths);
  requireRootUser(plainOf(document, path), path);
  requireUsableMounts(plainOf(document, path), path, paths);
  for (const flag of [`${configFlag}=${paths.config}`, `${reloadFlag}=true`]) {
    if (!argumentsOf(command).includes(flag)) command.add(document.createNode(flag));
  }
  const volumes = listIn(spec, 'volumes', document);
  const volumeMounts = listIn(container, 'volumeMounts', document);
  for (const { name, path: folder } of mountsOf(paths)) {
    if (isMounted(volumeMounts, folder)) continue;
    volumeMounts.add(document.createNode({ mountPath: folder, name, readOnly: true }));
    volumes.add(document.createNode({ hostPath: { path: folder, type: 'Directory' }, name }));
  }
  return checked(printDocument(document, text), text, path, touched);
}

/**
 * Takes away what `enabledManifest` adds, for a file that was changed since.
 * @param keep the file before kleidi, whose flags and mounts stay; where that is not
 *   known, whether the EncryptionConfiguration must stay in use
 */
export function disabledManifest(
  text: string,
  path: string,
  paths: Paths,
  keep: string | boolean,
): string {
  const document = parseDocument(text, path);
  const touched = touchedIn(document, path, paths);
  const { command, spec, container } = partsOf(document.contents, path);
  const stays = keptIn(keep, path);
  const flags = [`${configFlag}=${paths.config}`, `${reloadFlag}=true`].filter(
    (flag) => !stays.flag(flag),
  );
  command.items = command.items.filter(
    (item) => !(isScalar(item) && flags.includes(String(item.value))),
  );
  for (const list of [spec.get('volumes'), container.get('volumeMounts')]) {
    if (!isSeq(list)) continue;
    const ours = mountsOf(paths)
      .map(({ name }) => name)
      .filter((name) => !stays.mount(name));
    list.items = list.items.filter(
      (item) => !(isMap(item) && ours.includes(String(item.get('name')))),
    );
  }
  return checked(printDocument(document, text), text, path, touched);
}

function checked(after: string, before: string, path: string, touched: readonly Touched[]): string {
  requireRestUntouched(before, after, path, touched);
  return after;
}

/** What an edit reaches. @throws KleidiError refused */
function touchedIn(document: Document, path: string, paths: Paths): readonly Touched[] {
  const { contents } = document;
  const containers = document.getIn(['spec', 'containers'], true);
  requireNoAliases(document, ['spec', 'containers'], path);
  const { container, command } = partsOf(contents, path);
  const at = ['spec', 'containers', isSeq(containers) ? containers.items.indexOf(container) : 0];
  const flags = [`${configFlag}=${paths.config}`, `${reloadFlag}=true`];
  const names = mountsOf(paths).map(({ name }) => name);
  const isFlag = (item: unknown): boolean => isScalar(item) && flags.includes(String(item.value));
  const isMount = (item: unknown): boolean =>
    isMap(item) && names.includes(String(item.get('name')));
  const touched: readonly Touched[] = [
    { at: [...at, container.get('command') === command ? 'command' : 'args'], isOurs: isFlag },
    { at: [...at, 'volumeMounts'], isOurs: isMount },
    { at: ['spec', 'volumes'], isOurs: isMount },
  ];
  for (const each of touched) requireNoAliases(document, each.at, path);
  return touched;
}

interface Kept {
  flag(flag: string): boolean;
  mount(name: string): boolean;
}

function keptIn(keep: string | boolean, path: string): Kept {
  if (typeof keep === 'boolean')
    return { flag: () => keep, mount: (name) => keep && name === 'kleidi-config' };
  const { command, container } = partsOf(parseDocument(keep, path).contents, path);
  const mounts = container.get('volumeMounts');
  const names = isSeq(mounts)
    ? mounts.items.map((item) => (isMap(item) ? String(item.get('name')) : ''))
    : [];
  return {
    flag: (flag) => argumentsOf(command).includes(flag),
    mount: (name) => names.includes(name),
  };
}

/** Of command and args together. @throws KleidiError refused */
export function serverArguments(text: string, path: string): string[] {
  const { container } = partsOf(parseDocument(text, path).contents, path);
  const lists = ['command', 'args'].map((name) => container.get(name));
  return lists.flatMap((list) => (isSeq(list) ? argumentsOf(list as YAMLSeq) : []));
}

/** The value of --encryption-provider-config, if it is set. */
export function manifestFlag(text: string, path: string): string | undefined {
  const { command } = partsOf(parseDocument(text, path).contents, path);
  const flag = argumentsOf(command).find((each) => each.startsWith(`${configFlag}=`));
  return flag?.slice(configFlag.length + 1);
}

interface Parts {
  readonly spec: YAMLMap;
  readonly container: YAMLMap;
  readonly command: YAMLSeq;
}

function partsOf(contents: unknown, path: string): Parts {
  const spec = isMap(contents) ? contents.get('spec') : undefined;
  const containers = isMap(spec) ? spec.get('containers') : undefined;
  const container = isSeq(containers)
    ? containers.items.find((item) => isMap(item) && item.get('name') === 'kube-apiserver')
    : undefined;
  const command = isMap(container) ? commandIn(container) : undefined;
  if (isMap(spec) && isMap(container) && isSeq(command)) return { spec, container, command };
  throw new KleidiError('refused', `${path} is not the static pod of a kube-apiserver`, {
    hint: 'it needs spec.containers[].name kube-apiserver with a command; nothing was changed',
  });
}

/** Where the flags are: most have them in command, some in args. */
function commandIn(container: YAMLMap): unknown {
  const lists = ['command', 'args'].map((name) => container.get(name));
  const hasFlags = (list: unknown): boolean =>
    isSeq(list) && list.items.some((item) => isScalar(item) && /^--/.test(String(item.value)));
  return lists.find(hasFlags) ?? lists[0];
}

function argumentsOf(command: YAMLSeq): string[] {
  return joined(command.items.map((item) => (isScalar(item) ? String(item.value) : '')));
}

function listIn(
  map: YAMLMap,
  name: string,
  document: { createNode(value: unknown): unknown },
): YAMLSeq {
  if (!isSeq(map.get(name))) map.set(name, document.createNode([]));
  return map.get(name) as YAMLSeq;
}

/** By us, or by a mount of the same folder under another name. */
function isMounted(volumeMounts: YAMLSeq, folder: string): boolean {
  return volumeMounts.items.some((item) => isMap(item) && item.get('mountPath') === folder);
}
