// The rules by which kube-apiserver takes or refuses an EncryptionConfiguration
// (apiserver.config.k8s.io/v1, apiserver's encryptionconfig validation). It exits
// at start over any fault, so a file that breaks one is never written.

import { parse } from 'yaml';
import { KleidiError } from '../errors.ts';
import { isRecord } from '../jsonvalue.ts';
import { type Fields, fault, providerFaults, unknown } from './providerrules.ts';

const withoutRest = ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'];

/** @param file its text or its parsed form. @throws KleidiError refused, with every fault */
export function requireValid(file: unknown, path: string): void {
  const faults = faultsIn(typeof file === 'string' ? parsed(file, path) : file);
  if (faults.length === 0) return;
  const list = faults.map((fault) => `\n  ${fault}`).join('');
  throw new KleidiError(
    'refused',
    `${path} is no EncryptionConfiguration that kube-apiserver takes:${list}`,
    { hint: 'fix it by hand first; nothing was changed' },
  );
}

function parsed(text: string, path: string): unknown {
  try {
    return parseConfiguration(text);
  } catch (cause) {
    throw new KleidiError('refused', `${path} is not YAML`, {
      hint: 'fix it by hand first; nothing was changed',
      cause,
    });
  }
}

/**
 * As Kubernetes reads it: what begins with a brace is JSON, not YAML in one line
 * (apimachinery, yaml.GuessJSONStream). Throws where it is neither.
 */
export function parseConfiguration(text: string): unknown {
  return /^\s*\{/.test(text) ? JSON.parse(text) : parse(text, { maxAliasCount: 0 });
}

export function faultsIn(file: unknown): string[] {
  if (!isRecord(file)) return ['it is not a list of fields'];
  const { apiVersion, kind, resources, ...rest } = file;
  const list = Array.isArray(resources) ? resources : [];
  return [
    ...fault(
      apiVersion !== 'apiserver.config.k8s.io/v1',
      'apiVersion: not apiserver.config.k8s.io/v1',
    ),
    ...fault(kind !== 'EncryptionConfiguration', 'kind: not EncryptionConfiguration'),
    ...fault(list.length === 0, 'resources: missing'),
    ...unknown(rest, ''),
    ...list.flatMap((entry, i) => entryFaults(entry, `resources[${i}]`)),
    ...duplicates(list),
  ];
}

function entryFaults(entry: unknown, at: string): string[] {
  if (!isRecord(entry)) return [`${at}: not a list of fields`];
  const { resources, providers, ...rest } = entry;
  const names = Array.isArray(resources) ? resources : [];
  const list = Array.isArray(providers) ? providers : [];
  return [
    ...fault(names.length === 0, `${at}.resources: missing`),
    ...names.flatMap((name) => nameFaults(name, `${at}.resources`)),
    ...fault(new Set(names).size < names.length, `${at}.resources: a name twice`),
    ...fault(overlap(names), `${at}.resources: a wildcard covers another name`),
    ...fault(list.length === 0, `${at}.providers: missing`),
    ...unknown(rest, `${at}.`),
    ...list.flatMap((provider, i) => providerFaults(provider, `${at}.providers[${i}]`)),
  ];
}

function nameFaults(name: unknown, at: string): string[] {
  if (typeof name !== 'string') return [`${at}: a name that is not text`];
  return [
    ...fault(name !== name.toLowerCase(), `${at}: ${name} is not lower case`),
    ...fault(name === '*', `${at}: '*' alone is not allowed`),
    ...fault(withoutRest.includes(name), `${at}: ${name} cannot be encrypted`),
    ...fault(
      ['events.k8s.io', 'extensions'].includes(groupOf(name)),
      `${at}: ${name} is not stored under that group`,
    ),
    ...fault(
      /^[^*]+\.\*$|\*.*\*.+|.\*/.test(name) && name !== '*.*',
      `${at}: ${name} is not a valid wildcard`,
    ),
  ];
}

/** The first dot divides them (k8s.io/apimachinery, schema.ParseGroupResource). */
function groupOf(name: string): string {
  return name.includes('.') ? name.slice(name.indexOf('.') + 1) : '';
}

function overlap(names: readonly unknown[]): boolean {
  const words = names.filter((name) => typeof name === 'string');
  return words.some((a) =>
    words.some(
      (b) => a !== b && (a === '*.*' || (a.startsWith('*.') && groupOf(a) === groupOf(b))),
    ),
  );
}

/** Over the whole file: a name appears in what is stored, and must mean one plugin. */
function duplicates(resources: readonly unknown[]): string[] {
  const names = kmsProvidersIn({ resources })
    .map(({ name }) => name)
    .filter((name) => name !== undefined);
  const twice = new Set(names.filter((name, i) => names.indexOf(name) !== i));
  return [...twice].map((name) => `two kms providers are named '${String(name)}'`);
}

/** Of every entry of a file. */
export function kmsProvidersIn(file: unknown): Fields[] {
  const resources = isRecord(file) && Array.isArray(file['resources']) ? file['resources'] : [];
  return resources
    .flatMap((entry) =>
      isRecord(entry) && Array.isArray(entry['providers']) ? entry['providers'] : [],
    )
    .flatMap((provider) => (isRecord(provider) ? [provider['kms']] : []))
    .filter(isRecord);
}
