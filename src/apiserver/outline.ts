// An EncryptionConfiguration without its keys: which resources, and which providers in
// which order, with the names of their keys. For people who must not see the rest.
import { isRecord } from '../jsonvalue.ts';
import { parseDocument, plainOf } from './yamlfile.ts';

/** One line a provider. @throws KleidiError refused where it is no YAML */
export function providersIn(text: string, path: string): string {
  const plain = plainOf(parseDocument(text, path), path);
  const entries = isRecord(plain) ? listIn(plain, 'resources') : [];
  return entries.map(entryLines).join('\n');
}

function entryLines(entry: unknown): string {
  const resources = listIn(entry, 'resources').filter((each) => typeof each === 'string');
  const providers = listIn(entry, 'providers').map((provider) => `  ${providerLine(provider)}`);
  return [`resources ${resources.join(', ')}`, ...providers].join('\n');
}

function providerLine(provider: unknown): string {
  if (!isRecord(provider)) return '?';
  const [kind = '?'] = Object.keys(provider);
  const settings = provider[kind];
  if (kind === 'kms') return `kms ${kmsFields.map((name) => fieldText(settings, name)).join(' ')}`;
  const keys = listIn(settings, 'keys').map((key) => fieldText(key, 'name'));
  return [kind, ...keys].join(' ');
}

const kmsFields = ['apiVersion', 'name', 'endpoint', 'timeout', 'cachesize'];

function fieldText(from: unknown, name: string): string {
  const value = isRecord(from) ? from[name] : undefined;
  return `${name}=${typeof value === 'string' || typeof value === 'number' ? value : '-'}`;
}

function listIn(from: unknown, name: string): readonly unknown[] {
  const list = isRecord(from) ? from[name] : undefined;
  return Array.isArray(list) ? list : [];
}
