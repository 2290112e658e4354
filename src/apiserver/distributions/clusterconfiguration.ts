// kubeadm's ClusterConfiguration, from which an upgrade makes the static pod anew:
// without our flags in it, the next upgrade would take them away.
import { type Document, isMap, isScalar, isSeq, type YAMLMap } from 'yaml';
import { KleidiError } from '../../errors.ts';
import { type Flag, flagsOf, type Paths, requireOwnFlag } from '../flags.ts';
import { parseDocument } from '../yamlfile.ts';
import { printEdited, requireEditable, type Touched } from '../yamlrules.ts';
import {
  isMounted,
  isOurMount,
  type Kept,
  keptOf,
  listIn,
  mountsOf,
  takeOutMounts,
} from './additions.ts';

const where = 'the ClusterConfiguration of kubeadm (ConfigMap kube-system/kubeadm-config)';

/** @throws KleidiError refused where it names another file */
export function requireOwnClusterFlag(text: string, paths: Paths): void {
  const { contents } = parseDocument(text, where);
  const apiServer = isMap(contents) ? contents.get('apiServer') : undefined;
  if (isMap(apiServer)) requireOwnFlag(currentFlags(apiServer as YAMLMap), where, paths);
}

/** v1beta3 has a map of flags, v1beta4 a list. @throws KleidiError refused */
export function enabledClusterConfiguration(text: string, paths: Paths): string {
  const document = parseDocument(text, where);
  const touched = touchedIn(document, paths);
  const apiServer = apiServerIn(document);
  requireOwnFlag(currentFlags(apiServer), where, paths);
  for (const flag of flagsOf(paths)) setFlag(apiServer, flag, isV1beta4(text), document);
  const volumes = listIn(apiServer, 'extraVolumes', document);
  for (const { name, path } of mountsOf(paths)) {
    if (isMounted(volumes, path)) continue;
    const volume = { name, hostPath: path, mountPath: path, readOnly: true, pathType: 'Directory' };
    volumes.add(document.createNode(volume));
  }
  return printEdited(document, text, where, touched);
}

/** Takes away what `enabledClusterConfiguration` adds. @throws KleidiError refused */
export function disabledClusterConfiguration(
  text: string,
  paths: Paths,
  keep: string | boolean,
): string {
  const document = parseDocument(text, where);
  const touched = touchedIn(document, paths);
  const apiServer = apiServerIn(document);
  const kept = keptOf(keep, keptIn);
  for (const { name, argument } of flagsOf(paths))
    if (!kept.flag(argument)) dropFlag(apiServer, name);
  takeOutMounts(apiServer.get('extraVolumes'), paths, kept);
  for (const name of ['extraArgs', 'extraVolumes']) {
    const list = apiServer.get(name);
    if ((isSeq(list) || isMap(list)) && list.items.length === 0) apiServer.delete(name);
  }
  return printEdited(document, text, where, touched);
}

/** What an edit reaches. @throws KleidiError refused */
function touchedIn(document: Document, paths: Paths): readonly Touched[] {
  // An item of the list, or a key of the map.
  const nameOf = (item: unknown): string =>
    String(isMap(item) ? item.get('name') : isScalar(item) ? item.value : '');
  const isFlag = (item: unknown): boolean =>
    flagsOf(paths).some(({ name }) => name === nameOf(item));
  const touched: readonly Touched[] = [
    { at: ['apiServer', 'extraArgs'], isOurs: isFlag },
    { at: ['apiServer', 'extraVolumes'], isOurs: (item) => isOurMount(item, paths) },
  ];
  return requireEditable(document, touched, where);
}

/** By name: in a map a flag has one value, which `enabledClusterConfiguration` may have set. */
function keptIn(before: string): Kept {
  const { contents } = parseDocument(before, where);
  const apiServer = isMap(contents) ? contents.get('apiServer') : undefined;
  const args = isMap(apiServer) ? currentFlags(apiServer as YAMLMap) : [];
  const volumes = isMap(apiServer) ? apiServer.get('extraVolumes') : undefined;
  const names = isSeq(volumes) ? volumes.items.map((item) => isMap(item) && item.get('name')) : [];
  const nameOf = (argument: string): string => `${argument.split('=')[0]}=`;
  return {
    flag: (argument) => args.some((arg) => arg.startsWith(nameOf(argument))),
    mount: (name) => names.includes(name),
  };
}

function isV1beta4(text: string): boolean {
  const [, version] = /^apiVersion:\s*["']?kubeadm\.k8s\.io\/(\w+)/m.exec(text) ?? [];
  if (version === 'v1beta3') return false;
  if (version === 'v1beta4') return true;
  throw new KleidiError('refused', `${where} is of version ${version ?? 'unknown'}`, {
    hint: 'kleidi knows v1beta3 and v1beta4; add the flags by hand: kleidi apiserver plan shows them',
  });
}

function apiServerIn(document: Document): YAMLMap {
  const { contents } = document;
  if (!isMap(contents))
    throw new KleidiError('refused', `${where} is not a list of fields`, {
      hint: 'kubectl -n kube-system get configmap kubeadm-config -o yaml',
    });
  if (!isMap(contents.get('apiServer'))) contents.set('apiServer', document.createNode({}));
  return contents.get('apiServer') as YAMLMap;
}

function currentFlags(apiServer: YAMLMap): string[] {
  const args = apiServer.get('extraArgs');
  if (isMap(args)) return args.items.map(({ key, value }) => `--${scalar(key)}=${scalar(value)}`);
  if (!isSeq(args)) return [];
  return args.items.map((item) =>
    isMap(item) ? `--${item.get('name')}=${item.get('value')}` : '',
  );
}

function scalar(node: unknown): string {
  return isScalar(node) ? String(node.value) : '';
}

function setFlag(
  apiServer: YAMLMap,
  { name, value }: Flag,
  asList: boolean,
  document: Document,
): void {
  if (!asList) {
    if (!isMap(apiServer.get('extraArgs'))) apiServer.set('extraArgs', document.createNode({}));
    (apiServer.get('extraArgs') as YAMLMap).set(name, value);
    return;
  }
  const list = listIn(apiServer, 'extraArgs', document);
  if (!list.items.some((item) => isMap(item) && item.get('name') === name))
    list.add(document.createNode({ name, value }));
}

function dropFlag(apiServer: YAMLMap, name: string): void {
  const args = apiServer.get('extraArgs');
  if (isMap(args)) args.delete(name);
  if (isSeq(args))
    args.items = args.items.filter((item) => !(isMap(item) && item.get('name') === name));
}
