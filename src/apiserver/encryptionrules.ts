// The rules by which kube-apiserver takes or refuses an EncryptionConfiguration
// (apiserver.config.k8s.io/v1, apiserver's encryptionconfig validation). It exits
// at start over any fault, so a file that breaks one is never written.
import { parse } from 'yaml';
import { KleidiError } from '../errors.ts';

const providerTypes = ['aesgcm', 'aescbc', 'secretbox', 'identity', 'kms'] as const;
const kmsFields = ['apiVersion', 'name', 'cachesize', 'endpoint', 'timeout'];

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
      hint: 'mend it by hand first; nothing was changed',
    },
  );
}

function parsed(text: string, path: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw new KleidiError('refused', `${path} is not YAML`, {
      hint: 'mend it by hand first; nothing was changed',
      cause,
    });
  }
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
  if (type === 'identity') return [];
  if (!isFields(value)) return [`${at}.${type}: empty`];
  if (type === 'kms') return kmsFaults(value, `${at}.kms`);
  return fault(
    !Array.isArray(value['keys']) || value['keys'].length === 0,
    `${at}.${type}.keys: missing`,
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
        !(typeof timeout === 'string' && /[1-9]/.test(timeout) && !timeout.startsWith('-')),
      `${at}.timeout: not above 0`,
    ),
    ...Object.keys(kms)
      .filter((field) => !kmsFields.includes(field))
      .map((field) => `${at}.${field}: unknown field`),
  ];
}

/** Over the whole file: a name appears in what is stored, and must mean one plugin. */
function duplicates(resources: readonly unknown[]): string[] {
  const names = resources
    .flatMap((entry) =>
      isFields(entry) && Array.isArray(entry['providers']) ? entry['providers'] : [],
    )
    .map((provider) =>
      isFields(provider) && isFields(provider['kms']) ? provider['kms']['name'] : undefined,
    )
    .filter((name) => name !== undefined);
  const twice = new Set(names.filter((name, i) => names.indexOf(name) !== i));
  return [...twice].map((name) => `two kms providers are named '${String(name)}'`);
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
