// The rules of one provider of an EncryptionConfiguration, and of its keys.
import { isRecord } from '../jsonvalue.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function fault(is: boolean, text: string): string[] {
  return is ? [text] : [];
}

export function unknown(rest: object, at: string): string[] {
  return Object.keys(rest).map((name) => `${at}${name}: unknown field`);
}

const providerTypes = ['aesgcm', 'aescbc', 'secretbox', 'identity', 'kms'] as const;
/** How long a key may be, in bytes. */
const keyBytes: Readonly<Record<string, readonly number[]>> = {
  aescbc: [16, 24, 32],
  aesgcm: [16, 24, 32],
  secretbox: [32],
};
const kmsFields = ['apiVersion', 'name', 'cachesize', 'endpoint', 'timeout'];

/** Go's time.ParseDuration, but for its minus. */
const duration = /^\+?((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+$/;

export function providerFaults(provider: unknown, at: string): string[] {
  if (!isRecord(provider)) return [`${at}: not a list of fields`];
  const types = Object.keys(provider);
  const [type = ''] = types;
  if (types.length !== 1 || !(providerTypes as readonly string[]).includes(type)) {
    return [`${at}: exactly one of ${providerTypes.join(', ')} is required`];
  }
  const value = provider[type];
  if (!isRecord(value)) return [`${at}.${type}: empty`];
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
  if (!isRecord(key)) return [`${at}: not a list of fields`];
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
