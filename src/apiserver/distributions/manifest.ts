// kubeadm's static pod of kube-apiserver: flags, and the folders of socket and
// configuration mounted read-only.
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { KleidiError } from '../../errors.ts';
import { configFlag, flagsOf, joined, type Paths, requireOwnFlag } from '../flags.ts';
import { parseDocument, plainOf } from '../yamlfile.ts';
import { printEdited, requireEditable, requireNoAliases, type Touched } from '../yamlrules.ts';
import {
  isMounted,
  isOurMount,
  type Kept,
  keptOf,
  listIn,
  mountsOf,
  takeOutMounts,
} from './additions.ts';
import { requireRootUser, requireUsableMounts } from './podrules.ts';

/** @throws KleidiError refused */
export function enabledManifest(text: string, path: string, paths: Paths): string {
  const document = parseDocument(text, path);
  const touched = touchedIn(document, path, paths);
  const { command, spec, container } = partsOf(document.contents, path);
  requireOwnFlag(argumentsOf(command), path, paths);
  requireRootUser(plainOf(document, path), path);
  requireUsableMounts(plainOf(document, path), path, paths);
  for (const { argument } of flagsOf(paths)) {
    if (!argumentsOf(command).includes(argument)) command.add(document.createNode(argument));
  }
  const volumes = listIn(spec, 'volumes', document);
  const volumeMounts = listIn(container, 'volumeMounts', document);
  for (const { name, path: folder } of mountsOf(paths)) {
    if (isMounted(volumeMounts, folder)) continue;
    volumeMounts.add(document.createNode({ mountPath: folder, name, readOnly: true }));
    volumes.add(document.createNode({ hostPath: { path: folder, type: 'Directory' }, name }));
  }
  return printEdited(document, text, path, touched);
}

/** Takes away what `enabledManifest` adds, for a file that was changed since. */
export function disabledManifest(
  text: string,
  path: string,
  paths: Paths,
  keep: string | boolean,
): string {
  const document = parseDocument(text, path);
  const touched = touchedIn(document, path, paths);
  const { command, spec, container } = partsOf(document.contents, path);
  const kept = keptOf(keep, (before) => keptIn(before, path));
  command.items = command.items.filter(
    (item) => !isOurFlag(item, paths) || kept.flag(String(item.value)),
  );
  takeOutMounts(spec.get('volumes'), paths, kept);
  takeOutMounts(container.get('volumeMounts'), paths, kept);
  return printEdited(document, text, path, touched);
}

function isOurFlag(item: unknown, paths: Paths): item is Scalar {
  return isScalar(item) && flagsOf(paths).some(({ argument }) => argument === String(item.value));
}

/** What an edit reaches. @throws KleidiError refused */
function touchedIn(document: Document, path: string, paths: Paths): readonly Touched[] {
  const containers = document.getIn(['spec', 'containers'], true);
  requireNoAliases(document, ['spec', 'containers'], path);
  const { container, command } = partsOf(document.contents, path);
  const at = ['spec', 'containers', isSeq(containers) ? containers.items.indexOf(container) : 0];
  const list = container.get('command') === command ? 'command' : 'args';
  const isMount = (item: unknown): boolean => isOurMount(item, paths);
  const touched: readonly Touched[] = [
    { at: [...at, list], isOurs: (item) => isOurFlag(item, paths) },
    { at: [...at, 'volumeMounts'], isOurs: isMount },
    { at: ['spec', 'volumes'], isOurs: isMount },
  ];
  return requireEditable(document, touched, path);
}

function keptIn(before: string, path: string): Kept {
  const { command, container } = partsOf(parseDocument(before, path).contents, path);
  const mounts = container.get('volumeMounts');
  const names = isSeq(mounts)
    ? mounts.items.map((item) => (isMap(item) ? String(item.get('name')) : ''))
    : [];
  return {
    flag: (argument) => argumentsOf(command).includes(argument),
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
