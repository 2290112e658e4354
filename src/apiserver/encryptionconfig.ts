// The EncryptionConfiguration that kube-apiserver reads: where kleidi stands in
// it, and the same file with kleidi in another place. Comments and order of what
// is not ours are kept.
import { isMap, isScalar, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import { KleidiError } from '../errors.ts';
import { requireValid } from './encryptionrules.ts';
import { parseDocument, printDocument } from './yamlfile.ts';

/** read: [others, kms]; write: [kms, others]; only: [kms]. */
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
  const rest = others.map(
    (other) =>
      `      - ${JSON.stringify(other)
        .replace(/^{"(\w+)":/, '$1: ')
        .replace(/}$/, '')}\n`,
  );
  const providers = phase === 'only' ? [kms] : phase === 'write' ? [kms, ...rest] : [...rest, kms];
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
  const at = providers.items.findIndex((item) => isOurs(item, socket));
  if (at === -1) return undefined;
  if (providers.items.length === 1) return 'only';
  return at === 0 ? 'write' : 'read';
}

/** @throws KleidiError refused where the file is not what kube-apiserver would take */
export function withPhase(text: string, path: string, socket: string, phase: Phase): string {
  const document = parseDocument(text, path);
  const providers = providersIn(document.toJS({ maxAliasCount: 0 }), document.contents, path);
  const ours = takeOut(providers, socket) ?? document.createNode(kmsProvider(socket));
  if (phase === 'only') providers.items = [];
  else if (providers.items.length === 0) providers.items = [document.createNode({ identity: {} })];
  if (phase === 'read') providers.items.push(ours);
  else providers.items.unshift(ours);
  const result = printDocument(document, text);
  requireValid(result, path);
  return result;
}

/** The file without kleidi. @throws KleidiError refused */
export function withoutKleidi(text: string, path: string, socket: string): string {
  const document = parseDocument(text, path);
  const providers = providersIn(document.toJS({ maxAliasCount: 0 }), document.contents, path);
  takeOut(providers, socket);
  if (providers.items.length === 0) providers.items = [document.createNode({ identity: {} })];
  const result = printDocument(document, text);
  requireValid(result, path);
  return result;
}

function kmsProvider(socket: string): object {
  const endpoint = endpointOf(socket);
  return { kms: { apiVersion: 'v2', name: providerName, endpoint, timeout: '3s' } };
}

function providersOf(text: string, path: string): YAMLSeq {
  const document = parseDocument(text, path);
  return providersIn(document.toJS({ maxAliasCount: 0 }), document.contents, path);
}

/** The providers of the entry that covers Secrets. */
function providersIn(plain: unknown, contents: unknown, path: string): YAMLSeq {
  requireValid(plain, path);
  const resources = isMap(contents) ? contents.get('resources') : undefined;
  const entries = isSeq(resources) ? resources.items.filter((item) => isMap(item)) : [];
  const entry = (entries as YAMLMap[]).find(coversSecrets);
  const providers = entry?.get('providers');
  if (isSeq(providers)) return providers;
  throw new KleidiError('refused', `${path} has no entry for the resource secrets`, {
    hint: 'add one ({resources: [secrets], providers: [identity: {}]}), then run the command again',
  });
}

function coversSecrets(entry: YAMLMap): boolean {
  const names = entry.get('resources');
  if (!isSeq(names)) return false;
  return names.items.some(
    (name) => isScalar(name) && ['secrets', '*.', '*.*'].includes(String(name.value)),
  );
}

function takeOut(providers: YAMLSeq, socket: string): unknown {
  const at = providers.items.findIndex((item) => isOurs(item, socket));
  return at === -1 ? undefined : providers.items.splice(at, 1)[0];
}

/** @throws KleidiError refused where our name or our socket is somebody else's */
function isOurs(item: unknown, socket: string): boolean {
  const kms = isMap(item) ? item.get('kms') : undefined;
  if (!isMap(kms)) return false;
  const [name, endpoint] = [kms.get('name'), kms.get('endpoint')];
  const isSocket = endpoint === endpointOf(socket);
  if (isSocket && name === providerName) return true;
  if (!isSocket && name !== providerName) return false;
  const what = isSocket
    ? `our socket is configured under the name '${name}'`
    : `a provider named ${providerName} has the endpoint ${endpoint}`;
  throw new KleidiError('refused', `the EncryptionConfiguration is in the way: ${what}`, {
    hint: 'the name is part of every stored object: kleidi cannot take it over; set socket in kleidi.yaml, or remove that provider once nothing is sealed under it',
  });
}
