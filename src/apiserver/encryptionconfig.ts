// The EncryptionConfiguration that kube-apiserver reads: where kleidi stands in
// it, and the same file with kleidi in another place. Comments and order of what
// is not ours are kept.
import { isDeepStrictEqual } from 'node:util';
import { type Document, isMap, isScalar, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import { KleidiError } from '../errors.ts';
import { kmsProvidersIn, requireValid } from './encryptionrules.ts';
import { parseDocument, plainOf, printDocument } from './yamlfile.ts';
import { requireNoAliases, requireRestUntouched } from './yamlrules.ts';

/**
 * read: [others, kms]; write: [kms, others, identity]; only: [kms, others]. Others are
 * what reads data that somebody else has sealed: they always stay, but for identity,
 * which reads what is in clear.
 */
export type Phase = 'read' | 'write' | 'only';

/** Part of every stored object: it can never be renamed. */
export const providerName = 'kleidi';

export function endpointOf(socket: string): string {
  return `unix://${socket}`;
}

/** Written where there is no file yet. */
export function newConfiguration(phase: Phase, socket: string, others: readonly object[]): string {
  const kms = `      - kms:
          apiVersion: v2
          name: ${providerName}
          endpoint: ${endpointOf(socket)}
          timeout: 3s
`;
  const kept = phase === 'only' ? others.filter((other) => !('identity' in other)) : others;
  const rest = kept.map(
    (other) =>
      `      - ${JSON.stringify(other)
        .replace(/^{"(\w+)":/, '$1: ')
        .replace(/}$/, '')}\n`,
  );
  const providers = phase === 'read' ? [...rest, kms] : [kms, ...rest];
  return `# Written by kleidi apiserver; change it with that command. The first provider
# writes, all of them read. Keep it the same on every API server.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
    providers:
${providers.join('')}`;
}

/** @returns undefined where kleidi is not in it. @throws KleidiError refused */
export function phaseOf(text: string, path: string, socket: string): Phase | undefined {
  const providers = providersOf(text, path);
  requireOneKleidi(text, path, socket);
  const at = providers.items.findIndex((item) => isOurs(item, socket));
  if (at === -1) return undefined;
  if (at > 0) return 'read';
  return providers.items.some(isIdentity) ? 'write' : 'only';
}

/** @throws KleidiError refused where the file is not what kube-apiserver would take */
export function withPhase(text: string, path: string, socket: string, phase: Phase): string {
  const document = parseDocument(text, path);
  const { providers, at } = providersIn(document, path);
  requireOneKleidi(text, path, socket);
  const ours = takeOut(providers, socket) ?? document.createNode(kmsProvider(socket));
  if (phase === 'only') providers.items = providers.items.filter((item) => !isIdentity(item));
  else if (providers.items.length === 0 || (phase === 'write' && !providers.items.some(isIdentity)))
    providers.items.push(document.createNode({ identity: {} }));
  if (phase === 'read') providers.items.push(ours);
  else providers.items.unshift(ours);
  const result = printDocument(document, text);
  requireOthersKept(text, result, path, socket, at);
  requireValid(result, path);
  return result;
}

/** The file without kleidi. @throws KleidiError refused */
export function withoutKleidi(text: string, path: string, socket: string): string {
  const document = parseDocument(text, path);
  const { providers, at } = providersIn(document, path);
  takeOut(providers, socket);
  if (providers.items.length === 0) providers.items = [document.createNode({ identity: {} })];
  const result = printDocument(document, text);
  requireOthersKept(text, result, path, socket, at);
  requireValid(result, path);
  return result;
}

/** What kleidi seals, or would: the resources of the entry that covers Secrets. */
export function resourcesOf(text: string, path: string): readonly string[] {
  const { resources } = plainOf(parseDocument(text, path), path) as {
    resources: { resources: string[] }[];
  };
  return resources.find((entry) => entry.resources.includes('secrets'))?.resources ?? [];
}

/** Whether each key of `others` is in the file, so that what it has sealed can be read. */
export function carries(text: string, path: string, others: readonly object[]): boolean {
  const file = plainOf(parseDocument(text, path), path) as {
    resources?: { providers?: object[] }[];
  };
  const mine = (file.resources ?? []).flatMap(({ providers }) => providers ?? []);
  return others.every(
    (other) => 'identity' in other || mine.some((each) => isDeepStrictEqual(each, other)),
  );
}

/** Whether somebody else's keys are in it, so that it must stay in use. */
export function hasOtherKeys(text: string, path: string, socket: string): boolean {
  return providersOf(text, path).items.some((item) => !isIdentity(item) && !isOurs(item, socket));
}

function kmsProvider(socket: string): object {
  const endpoint = endpointOf(socket);
  return { kms: { apiVersion: 'v2', name: providerName, endpoint, timeout: '3s' } };
}

function providersOf(text: string, path: string): YAMLSeq {
  return providersIn(parseDocument(text, path), path).providers;
}

function requireOthersKept(
  before: string,
  after: string,
  path: string,
  socket: string,
  at: readonly (string | number)[],
): void {
  const isTouched = (item: unknown): boolean => isIdentity(item) || isOurs(item, socket);
  requireRestUntouched(before, after, path, [{ at, isOurs: isTouched }]);
}

/** The providers of the entry that covers Secrets. */
function providersIn(
  document: Document,
  path: string,
): { readonly providers: YAMLSeq; readonly at: readonly (string | number)[] } {
  const plain = plainOf(document, path);
  requireValid(plain, path);
  requireExactSecrets(plain, path);
  const resources: unknown = document.getIn(['resources'], true);
  const index = isSeq(resources)
    ? resources.items.findIndex((item) => isMap(item) && coversSecrets(item))
    : -1;
  const at = ['resources', index, 'providers'];
  if (index >= 0) requireNoAliases(document, at, path);
  const providers: unknown = index < 0 ? undefined : document.getIn(at, true);
  if (isSeq(providers)) return { providers, at };
  throw new KleidiError('refused', `${path} has no entry for the resource secrets`, {
    hint: 'add one ({resources: [secrets], providers: [identity: {}]}), then run the command again',
  });
}

function coversSecrets(entry: YAMLMap): boolean {
  const names = entry.get('resources');
  if (!isSeq(names)) return false;
  return names.items.some((name) => isScalar(name) && name.value === 'secrets');
}

/** Under a wildcard kleidi would seal what an API server needs to start, RBAC among it. */
function requireExactSecrets(plain: unknown, path: string): void {
  const { resources } = plain as { resources: { resources: string[] }[] };
  const names = resources.flatMap((entry) => entry.resources);
  if (names.includes('secrets') || !names.some((name) => /^\*\.\*?$/.test(name))) return;
  throw new KleidiError('refused', `${path} covers secrets by a wildcard only`, {
    hint: 'put an entry for secrets with the same providers before it, then run the command again',
  });
}

function isIdentity(item: unknown): boolean {
  return isMap(item) && item.has('identity');
}

function takeOut(providers: YAMLSeq, socket: string): unknown {
  const at = providers.items.findIndex((item) => isOurs(item, socket));
  return at === -1 ? undefined : providers.items.splice(at, 1)[0];
}

function isOurs(item: unknown, socket: string): boolean {
  const kms = isMap(item) ? item.get('kms') : undefined;
  return isMap(kms) && kms.get('name') === providerName && isSocket(kms.get('endpoint'), socket);
}

/** kube-apiserver takes unix:/path and unix:///path alike. */
export function isSocket(endpoint: unknown, socket: string): boolean {
  return String(endpoint).replace(/^unix:(?:\/\/(?=\/))?/, '') === socket;
}

/** In any entry. @throws KleidiError refused where our name or our socket is somebody else's */
function requireOneKleidi(text: string, path: string, socket: string): void {
  for (const { name, endpoint, apiVersion } of kmsProvidersIn(
    plainOf(parseDocument(text, path), path),
  )) {
    const isOurSocket = isSocket(endpoint, socket);
    if (isOurSocket === (name === providerName) && (!isOurSocket || apiVersion === 'v2')) continue;
    const what = isOurSocket
      ? `our socket is configured under the name '${name}' (${apiVersion})`
      : `a provider named ${providerName} has the endpoint ${endpoint}`;
    throw new KleidiError('refused', `the EncryptionConfiguration is in the way: ${what}`, {
      hint: 'the name is part of every stored object: kleidi cannot take it over; set socket in kleidi.yaml, or remove that provider once nothing is sealed under it',
    });
  }
}
