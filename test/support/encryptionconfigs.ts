// EncryptionConfigurations that kube-apiserver takes, and others that break one of its
// rules each. Our port of the rules and kube-apiserver's own loader are asked alike.

export const key = (bytes: number): string => Buffer.alloc(bytes, 7).toString('base64');
const kms =
  '{kms: {apiVersion: v2, name: kleidi, endpoint: unix:///run/kleidi/kms.sock, timeout: 3s}}';
const file = (resources: string, providers: string, more = ''): string =>
  `{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [{resources: ${resources}, providers: ${providers}}]${more}}`;
const withKms = (change: (text: string) => string): string => file('[secrets]', `[${change(kms)}]`);
const withKey = (provider: string, secret: string): string =>
  file('[secrets]', `[{${provider}: {keys: [{name: a, secret: ${secret}}]}}]`);

export const takenConfigurations: readonly string[] = [
  withKms((text) => text),
  withKms((text) => text.replace(', timeout: 3s', '')),
  withKms((text) => text.replace('3s', '1m30.5s')),
  withKms((text) => text.replace('unix:///run', 'unix:/run')),
  file('[secrets, things.example.com, pods]', '[{identity: {}}]'),
  file("['*.apps', secrets]", '[{identity: {}}]'),
  file("['*.*']", '[{identity: {}}]'),
  file('[events]', '[{identity: {}}]'),
  ...['aescbc', 'aesgcm'].flatMap((each) => [16, 24, 32].map((size) => withKey(each, key(size)))),
  withKey('secretbox', key(32)),
];

/** Each with what our port says of it. */
export const refusedConfigurations: readonly (readonly [string, RegExp])[] = [
  [withKms((text) => text.replace('apiVersion: v2, ', '')), /apiVersion: not v2/],
  [withKms((text) => text.replace('v2', 'v3')), /apiVersion: not v2/],
  [withKms((text) => text.replace('name: kleidi', 'name: "a:b"')), /name: no ':'/],
  [withKms((text) => text.replace('name: kleidi, ', '')), /name: missing/],
  [withKms((text) => text.replace('3s', '0s')), /timeout/],
  [withKms((text) => text.replace('3s', '-3s')), /timeout/],
  [withKms((text) => text.replace('3s', '3 seconds')), /timeout/],
  [withKms((text) => text.replace('3s', '3')), /timeout/],
  [withKms((text) => text.replace('unix:///run', 'tcp://run')), /endpoint/],
  [withKms((text) => text.replace('timeout: 3s', 'cachesize: 10')), /cachesize/],
  [withKms((text) => text.replace('timeout', 'timeOut')), /timeOut: unknown field/],
  [file('[secrets]', `[${kms}, ${kms}]`), /two kms providers are named 'kleidi'/],
  [file('[secrets]', '[{identity: {}, kms: {}}]'), /exactly one of/],
  [file('[secrets]', '[{rot13: {}}]'), /exactly one of/],
  [file('[secrets]', '[{identity: {a: 1}}]'), /identity\.a: unknown field/],
  [file('[secrets]', '[identity]'), /not a list of fields/],
  [file('[secrets]', '[]'), /providers: missing/],
  [file('[]', '[{identity: {}}]'), /resources: missing/],
  [file('[secrets]', '[{identity: {}}]', ', more: 1'), /more: unknown field/],
  [file('[Secrets]', '[{identity: {}}]'), /not lower case/],
  [file("['*']", '[{identity: {}}]'), /'\*' alone/],
  [file("['pods.*']", '[{identity: {}}]'), /wildcard/],
  [file('[secrets, secrets]', '[{identity: {}}]'), /a name twice/],
  [file("['*.', secrets]", '[{identity: {}}]'), /covers another/],
  [file("[deployments.apps, '*.apps']", '[{identity: {}}]'), /covers another/],
  [file("['*.*', things.example.com]", '[{identity: {}}]'), /covers another/],
  [file('[apiserveripinfo]', '[{identity: {}}]'), /cannot be encrypted/],
  [file("['*.events.k8s.io']", '[{identity: {}}]'), /not stored under that group/],
  [file('[ingresses.extensions]', '[{identity: {}}]'), /not stored under that group/],
  [withKey('aescbc', key(17)), /17 bytes, allowed are 16, 24, 32/],
  [withKey('secretbox', key(16)), /16 bytes, allowed are 32/],
  [withKey('aesgcm', 'not-base64!'), /not base64/],
  [withKey('aescbc', `${key(32)}, more: 1`), /more: unknown field/],
  [file('[secrets]', '[{aescbc: {keys: []}}]'), /keys: missing/],
  ['{}', /apiVersion: not apiserver/],
  ['[]', /not a list of fields/],
];
