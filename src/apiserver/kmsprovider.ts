// kleidi's entry among the providers of an EncryptionConfiguration.
import { isMap } from 'yaml';
import { KleidiError } from '../errors.ts';
import { kmsProvidersIn } from './encryptionrules.ts';
import type { Phase } from './phase.ts';

/** Part of every stored object: it can never be renamed. */
export const providerName = 'kleidi';

export function kmsProvider(socket: string) {
  const endpoint = `unix://${socket}`;
  return { kms: { apiVersion: 'v2', name: providerName, endpoint, timeout: '3s' } };
}

/** @param item of a list of providers */
export function isOurs(item: unknown, socket: string): boolean {
  const kms = isMap(item) ? item.get('kms') : undefined;
  return isMap(kms) && kms.get('name') === providerName && isSocket(kms.get('endpoint'), socket);
}

/** kube-apiserver takes unix:/path and unix:///path alike. */
export function isSocket(endpoint: unknown, socket: string): boolean {
  return String(endpoint).replace(/^unix:(?:\/\/(?=\/))?/, '') === socket;
}

/**
 * In any entry.
 * @param plain the parsed file
 * @throws KleidiError refused where our name or our socket is somebody else's
 */
export function requireOneKleidi(plain: unknown, socket: string): void {
  for (const { name, endpoint, apiVersion } of kmsProvidersIn(plain)) {
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

/**
 * The EncryptionConfiguration that is written where there is none yet.
 * @param others what reads the data that is there
 */
export function newConfiguration(phase: Phase, socket: string, others: readonly object[]): string {
  const { apiVersion, name, endpoint, timeout } = kmsProvider(socket).kms;
  const kms = `      - kms:
          apiVersion: ${apiVersion}
          name: ${name}
          endpoint: ${endpoint}
          timeout: ${timeout}
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
