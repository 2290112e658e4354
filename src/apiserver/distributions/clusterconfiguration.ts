// kubeadm's ClusterConfiguration, from which an upgrade makes the static pod anew:
// without our flags in it, the next upgrade would take them away.
import { type Document, isMap, isScalar, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import { KleidiError } from '../../errors.ts';
import { configFlag, type Paths, reloadFlag, requireOwnFlag } from '../flags.ts';
import { parseDocument, printDocument } from '../yamlfile.ts';
import { requireNoAliases, requireRestUntouched, type Touched } from '../yamlrules.ts';
import { mountsOf } from './manifest.ts';

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
  const apiServer = apiServerIn(document.contents, (name) => document.createNode(name));
  requireOwnFlag(currentFlags(apiServer), where, paths);
  for (const [name, value] of flags(paths))
    setFlag(apiServer, name, value, isV1beta4(text), (each) => document.createNode(each));
  const volumes = listOf(apiServer, 'extraVolumes', (each) => document.createNode(each));
  for (const { name, path } of mountsOf(paths)) {
    if (volumes.items.some((item) => isMap(item) && item.get('mountPath') === path)) continue;
    const volume = { name, hostPath: path, mountPath: path, readOnly: true, pathType: 'Directory' };
    volumes.add(document.createNode(volume));
  }
  return checked(printDocument(document, text), text, touched);
}

function checked(after: string, before: string, touched: readonly Touched[]): string {
  requireRestUntouched(before, after, where, touched);
  return after;
}

/** What an edit reaches. @throws KleidiError refused */
function touchedIn(document: Document, paths: Paths): readonly Touched[] {
  const flagNames = flags(paths).map(([name]) => name);
  const mountNames = mountsOf(paths).map(({ name }) => name);
  const nameOf = (item: unknown): string =>
    String(isMap(item) ? item.get('name') : isScalar(item) ? item.value : '');
  const touched: readonly Touched[] = [
    { at: ['apiServer', 'extraArgs'], isOurs: (item) => flagNames.includes(nameOf(item)) },
    { at: ['apiServer', 'extraVolumes'], isOurs: (item) => mountNames.includes(nameOf(item)) },
  ];
  for (const { at } of touched) requireNoAliases(document, at, where);
  return touched;
}

/**
 * @param keep the text before kleidi, whose flags and volumes stay; where that is not
 *   known, whether the EncryptionConfiguration must stay in use
 */
export function disabledClusterConfiguration(
  text: string,
  paths: Paths,
  keep: string | boolean,
): string {
  const document = parseDocument(text, where);
  const touched = touchedIn(document, paths);
  const apiServer = apiServerIn(document.contents, (name) => document.createNode(name));
  const stays = keptIn(keep);
  for (const [name] of flags(paths)) if (!stays.flag(name)) dropFlag(apiServer, name);
  const volumes = apiServer.get('extraVolumes');
  const ours = mountsOf(paths)
    .map(({ name }) => name)
    .filter((name) => !stays.volume(name));
  if (isSeq(volumes)) {
    volumes.items = volumes.items.filter(
      (item) => !(isMap(item) && ours.includes(String(item.get('name')))),
    );
  }
  for (const name of ['extraArgs', 'extraVolumes']) {
    const list = apiServer.get(name);
    if ((isSeq(list) || isMap(list)) && list.items.length === 0) apiServer.delete(name);
  }
  return checked(printDocument(document, text), text, touched);
}

function keptIn(keep: string | boolean) {
  if (typeof keep === 'boolean')
    return { flag: () => keep, volume: (name: string) => keep && name === 'kleidi-config' };
  const { contents } = parseDocument(keep, where);
  const apiServer = isMap(contents) ? contents.get('apiServer') : undefined;
  const args = isMap(apiServer) ? currentFlags(apiServer as YAMLMap) : [];
  const volumes = isMap(apiServer) ? apiServer.get('extraVolumes') : undefined;
  const names = isSeq(volumes) ? volumes.items.map((item) => isMap(item) && item.get('name')) : [];
  return {
    flag: (name: string) => args.some((arg) => arg.startsWith(`--${name}=`)),
    volume: (name: string) => names.includes(name),
  };
}

type Create = (value: unknown) => unknown;

function flags({ config }: Paths): readonly (readonly [string, string])[] {
  return [
    [configFlag.slice(2), config],
    [reloadFlag.slice(2), 'true'],
  ];
}

function isV1beta4(text: string): boolean {
  const [, version] = /^apiVersion:\s*["']?kubeadm\.k8s\.io\/(\w+)/m.exec(text) ?? [];
  if (version === 'v1beta3') return false;
  if (version === 'v1beta4') return true;
  throw new KleidiError('refused', `${where} is of version ${version ?? 'unknown'}`, {
    hint: 'kleidi knows v1beta3 and v1beta4; add the flags by hand: kleidi apiserver plan shows them',
  });
}

function apiServerIn(contents: unknown, create: Create): YAMLMap {
  if (!isMap(contents))
    throw new KleidiError('refused', `${where} is not a list of fields`, {
      hint: 'kubectl -n kube-system get configmap kubeadm-config -o yaml',
    });
  if (!isMap(contents.get('apiServer'))) contents.set('apiServer', create({}));
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
  name: string,
  value: string,
  asList: boolean,
  create: Create,
): void {
  if (!asList) {
    if (!isMap(apiServer.get('extraArgs'))) apiServer.set('extraArgs', create({}));
    (apiServer.get('extraArgs') as YAMLMap).set(name, value);
    return;
  }
  const list = listOf(apiServer, 'extraArgs', create);
  if (!list.items.some((item) => isMap(item) && item.get('name') === name))
    list.add(create({ name, value }));
}

function dropFlag(apiServer: YAMLMap, name: string): void {
  const args = apiServer.get('extraArgs');
  if (isMap(args)) args.delete(name);
  if (isSeq(args))
    args.items = args.items.filter((item) => !(isMap(item) && item.get('name') === name));
}

function listOf(map: YAMLMap, name: string, create: Create): YAMLSeq {
  if (!isSeq(map.get(name))) map.set(name, create([]));
  return map.get(name) as YAMLSeq;
}
