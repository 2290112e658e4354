// The EncryptionConfiguration that is written where there is none yet.
import { kmsProvider } from './kmsprovider.ts';
import type { Phase } from './phase.ts';

/** @param others what reads the data that is there */
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
