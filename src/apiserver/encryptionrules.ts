// The rules by which kube-apiserver takes or refuses an EncryptionConfiguration
// (apiserver.config.k8s.io/v1, apiserver's encryptionconfig validation). It exits
// at start over any fault, so a file that breaks one is never written.
import { parse } from 'yaml';
import { KleidiError } from '../errors.ts';

const providerTypes = ['aesgcm', 'aescbc', 'secretbox', 'identity', 'kms'] as const;
/** How long a key may be, in bytes. */
const keyBytes: Readonly<Record<string, readonly number[]>> = {
  aescbc: [16, 24, 32],
  aesgcm: [16, 24, 32],
  secretbox: [32],
};
const withoutRest = ['apiserveripinfo', 'serviceipallocations', 'servicenodeportallocations'];
const kmsFields = ['apiVersion', 'name', 'cachesize', 'endpoint', 'timeout'];

/** Go's time.ParseDuration, but for its minus. */
const duration = /^\+?((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+$/;

type Fields = Readonly<Record<string, unknown>>;

/** @param file its text or its parsed form. @throws KleidiError refused, with every fault */
export function requireValid(file: unknown, path: string): void {
  const faults = faultsIn(typeof file === 'string' ? parsed(file, path) : file);
  if (faults.length === 0) return;
  const list = faults.map((fault) => `\n  ${fault}`).join('');
  throw new KleidiError(
    'refused',
    `${path} is no EncryptionConfiguration that kube-apiserver takes:${list}`,
    {
      hint: 'fix it by hand first; nothing was changed',
    },
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
  if (!isFields(file)) return ['it is not a list of fields'];
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
  if (!isFields(entry)) return [`${at}: not a list of fields`];
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

function providerFaults(provider: unknown, at: string): string[] {
  if (!isFields(provider)) return [`${at}: not a list of fields`];
  const types = Object.keys(provider);
  const [type = ''] = types;
  if (types.length !== 1 || !(providerTypes as readonly string[]).includes(type)) {
    return [`${at}: exactly one of ${providerTypes.join(', ')} is due`];
  }
  const value = provider[type];
  if (!isFields(value)) return [`${at}.${type}: empty`];
  if (type === 'identity') return unknown(value, `${at}.identity.`);
  if (type === 'kms') return kmsFaults(value, `${at}.kms`);
  const { keys, ...rest } = value;
  const list = Array.isArray(keys) ? keys : [];
  return [
    ...fault(list.length === 0, `${at}.${type}.keys: missing`),
    ...unknown(rest, `${at}.${type}.`),
    ...list.flatMap((key, i) => keyFaults(key, keyBytes[type] ?? [], `${at}.${type}.keys[${i}]`)),
  ];
}

/** Never quotes the secret. */
function keyFaults(key: unknown, sizes: readonly number[], at: string): string[] {
  if (!isFields(key)) return [`${at}: not a list of fields`];
  const { name, secret, ...rest } = key;
  const bytes = Buffer.from(typeof secret === 'string' ? secret : '', 'base64');
  const isBase64 = secret !== '' && bytes.toString('base64') === secret;
  return [
    ...unknown(rest, `${at}.`),
    ...fault(typeof name !== 'string' || name === '', `${at}.name: missing`),
    ...fault(!isBase64, `${at}.secret: not base64`),
    ...fault(
      isBase64 && !sizes.includes(bytes.length),
      `${at}.secret: ${bytes.length} bytes, allowed are ${sizes.join(', ')}`,
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

function kmsFaults(kms: Fields, at: string): string[] {
  const { apiVersion, name, cachesize, endpoint, timeout } = kms;
  const text = typeof name === 'string' ? name : '';
  const isV2 = apiVersion === 'v2';
  return [
    ...fault(!isV2 && apiVersion !== 'v1', `${at}.apiVersion: not v2 (nothing means v1)`),
    ...fault(text === '', `${at}.name: missing`),
    ...fault(isV2 && text.includes(':'), `${at}.name: no ':' with v2`),
    ...fault(isV2 && cachesize !== undefined, `${at}.cachesize: not allowed with v2`),
    ...fault(
      typeof endpoint !== 'string' || !/^unix:\/\/\/|^unix:\/[^/]/.test(endpoint),
      `${at}.endpoint: not unix:///PATH`,
    ),
    ...fault(
      timeout !== undefined &&
        !(typeof timeout === 'string' && duration.test(timeout) && /[1-9]/.test(timeout)),
      `${at}.timeout: not above 0`,
    ),
    ...Object.keys(kms)
      .filter((field) => !kmsFields.includes(field))
      .map((field) => `${at}.${field}: unknown field`),
  ];
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
  const resources = isFields(file) && Array.isArray(file['resources']) ? file['resources'] : [];
  return resources
    .flatMap((entry) =>
      isFields(entry) && Array.isArray(entry['providers']) ? entry['providers'] : [],
    )
    .flatMap((provider) => (isFields(provider) ? [provider['kms']] : []))
    .filter(isFields);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fault(is: boolean, text: string): string[] {
  return is ? [text] : [];
}

function unknown(rest: object, at: string): string[] {
  return Object.keys(rest).map((name) => `${at}${name}: unknown field`);
}
