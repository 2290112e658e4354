// Which objects an EncryptionConfiguration means by the names of its resources, as the API
// server itself lists them.
import { isRecord, recordIn } from '../../jsonvalue.ts';
import type { ApiserverClient } from './client.ts';
import { callPatiently } from './patience.ts';

export interface StoredResource {
  /** As kubectl has it: secrets, things.example.com. */
  readonly name: string;
  /** Of its group and version: /api/v1, /apis/example.com/v1. */
  readonly base: string;
  /** The last part of the path: secrets, things. */
  readonly plural: string;
  readonly isNamespaced: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * @param name `secrets`, `things.example.com`, `*.example.com`
 * @returns none where the cluster has no such resource
 * @throws KleidiError apiserver-unreachable
 */
export async function resourcesNamed(
  client: ApiserverClient,
  name: string,
): Promise<StoredResource[]> {
  const { plural, group } = split(name);
  const found = new Map<string, StoredResource>();
  // One that only an older version of its group has is found there.
  for (const base of await basesOf(client, group)) {
    const list = await fieldsAt(client, base);
    for (const each of listIn(list, 'resources'))
      for (const resource of storedIn(each, base, group))
        if (plural === '*' || plural === resource.plural)
          found.set(resource.name, found.get(resource.name) ?? resource);
  }
  return [...found.values()];
}

/** The first dot divides them (k8s.io/apimachinery, schema.ParseGroupResource). */
function split(name: string): { readonly plural: string; readonly group: string } {
  const [plural = '', ...group] = name.split('.');
  return { plural, group: group.join('.') };
}

/** The preferred version first. */
async function basesOf(client: ApiserverClient, group: string): Promise<string[]> {
  if (group === '') return ['/api/v1'];
  const fields = await fieldsAt(client, `/apis/${group}`);
  const preferred = fields['preferredVersion'];
  const versions = [preferred, ...listIn(fields, 'versions')].filter(isRecord);
  return [...new Set(versions.map((each) => `/apis/${String(each['groupVersion'])}`))];
}

/** Empty where there is nothing. */
async function fieldsAt(client: ApiserverClient, path: string): Promise<Fields> {
  const { status, body } = await callPatiently(client, { method: 'GET', path });
  if (status === 404) return {};
  if (status !== 200) throw client.unexpected(`GET ${path}`, status);
  return recordIn(body) ?? {};
}

/** None for what cannot be replaced as a whole. */
function storedIn(each: Fields, base: string, group: string): StoredResource[] {
  const { name, namespaced, verbs } = each;
  if (typeof name !== 'string' || name.includes('/') || !Array.isArray(verbs)) return [];
  if (!['list', 'get', 'update'].every((verb) => verbs.includes(verb))) return [];
  const full = group === '' ? name : `${name}.${group}`;
  return [{ name: full, base, plural: name, isNamespaced: namespaced === true }];
}

export function listIn(fields: Fields, name: string): Fields[] {
  const list = fields[name];
  return Array.isArray(list) ? list.filter(isRecord) : [];
}
