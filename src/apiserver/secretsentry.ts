// The entry of an EncryptionConfiguration that covers Secrets: kleidi stands in it alone.
import { type Document, isMap, isScalar, isSeq, type YAMLMap } from 'yaml';
import { KleidiError } from '../errors.ts';
import { requireNoAliases } from './yamlrules.ts';

export interface Entry {
  readonly resources: readonly string[];
  readonly providers: readonly object[];
}

/**
 * @param entries the same, as plain data
 * @returns where its providers are
 * @throws KleidiError refused
 */
export function findSecretsProviders(
  document: Document,
  entries: readonly Entry[],
  path: string,
): readonly (string | number)[] {
  requireExactSecrets(entries, path);
  const resources: unknown = document.getIn(['resources'], true);
  const index = isSeq(resources)
    ? resources.items.findIndex((item) => isMap(item) && coversSecrets(item))
    : -1;
  const at = ['resources', index, 'providers'];
  if (index >= 0) requireNoAliases(document, at, path);
  if (index >= 0 && isSeq(document.getIn(at, true))) return at;
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
function requireExactSecrets(entries: readonly Entry[], path: string): void {
  const names = entries.flatMap(({ resources }) => resources);
  if (names.includes('secrets') || !names.some((name) => /^\*\.\*?$/.test(name))) return;
  throw new KleidiError('refused', `${path} covers secrets by a wildcard only`, {
    hint: 'put an entry for secrets with the same providers before it, then run the command again',
  });
}
