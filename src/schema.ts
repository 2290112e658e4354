// The fields of kleidi.yaml: the meaning, default and rule of each, as convict
// takes them. config.ts reads files by it.
import { firstModule } from './softhsm.ts';
import { firstTpmModule } from './tpmmodule.ts';

/**
 * Makes fields that take what is good, and say of all else what they found. Throws that;
 * convict puts the field's name in front.
 * @param allowed what is good, in words
 */
function rule(allowed: string, good: (value: unknown) => boolean, fault = foundFault) {
  const format = (value: unknown): void => {
    if (!good(value)) throw new Error(fault(value, allowed));
  };
  return <T>(doc: string, fallback: T) => ({ doc, default: fallback, allowed, format });
}

function foundFault(value: unknown, allowed: string): string {
  return `found ${JSON.stringify(value)}, allowed is ${allowed}`;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const absolutePath = rule('an absolute path', (v) => isText(v) && /^\/[^\0]*$/.test(v));
/** Never shows what it found: somebody may have written the PIN itself there. */
const secretReference = rule(
  'credential:NAME or file:/ABSOLUTE/PATH',
  (v) => isText(v) && /^(credential:[A-Za-z0-9._-]+|file:\/.+)$/.test(v),
  (_, allowed) =>
    `found something else (not shown), allowed is ${allowed}: the secret itself never stands in this file`,
);
const tokenLabel = rule('1 to 32 bytes of text', (v) => {
  const bytes = isText(v) ? Buffer.byteLength(v) : 0;
  return bytes >= 1 && bytes <= 32;
});
const oneOf = (...words: string[]) =>
  rule(`one of ${words.join(', ')}`, (v) => isText(v) && words.includes(v));
const logLevel = oneOf('debug', 'info', 'warn', 'error');
const logFormat = oneOf('auto', 'journald', 'json', 'pretty');
const carrier = oneOf('fast', 'library');
const authMethod = oneOf('approle', 'cert', 'jwt', 'token');
const pinBinding = oneOf('auto', 'host', 'tpm2', 'host+tpm2');
const pcrNumbers = rule(
  'a list of whole numbers from 0 to 23',
  (v) => Array.isArray(v) && v.every((n) => Number.isInteger(n) && n >= 0 && n <= 23),
);
const wholeNumber = (least: number, most: number) =>
  rule(
    `a whole number from ${least} to ${most}`,
    (v) => Number.isInteger(v) && Number(v) >= least && Number(v) <= most,
  );

const httpsAddresses = rule(
  'a list of https://HOST[:PORT]',
  (v) => Array.isArray(v) && v.every((each) => isText(each) && isHttps(each)),
);
const variableNames = rule(
  'a list of names of environment variables',
  (v) =>
    Array.isArray(v) && v.every((each) => isText(each) && /^[A-Za-z_][A-Za-z0-9_]*$/.test(each)),
);
const pathOrNothing = rule(
  'an absolute path or nothing',
  (v) => isText(v) && /^(\/[^\0]*)?$/.test(v),
);
const urlPath = rule('letters, digits and -_./', (v) => isText(v) && /^[\w./-]*$/.test(v));
const word = rule('text', (v) => isText(v) && v.length <= 256);

export interface Field {
  readonly doc: string;
  readonly default: unknown;
  readonly allowed: string;
  format(value: unknown): void;
}

export const isField = (node: object): node is Field => 'doc' in node;

export const schema = {
  ring: absolutePath('The ring file; the same on every host.', '/var/lib/kleidi/ring.json'),
  socket: absolutePath(
    'The socket, where systemd hands none over; also where the commands find the daemon.',
    '/run/kleidi/kms.sock',
  ),
  grpc: carrier(
    'What speaks gRPC: fast, or library (grpc-js, which takes more processor time a call).',
    'fast',
  ),
  runtimeDir: absolutePath(
    'What must outlive a restart but not a reboot: refused PINs, crashes at start.',
    '/run/kleidi-daemon',
  ),
  encryptionConfig: absolutePath(
    "The EncryptionConfiguration that names kleidi's socket to kube-apiserver.",
    '/etc/kubernetes/kleidi/encryption-config.yaml',
  ),
  log: {
    level: logLevel('Least level that is logged.', 'info'),
    format: logFormat('auto: pretty on a terminal, journald under systemd, else json.', 'auto'),
  },
  pkcs11: {
    module: {
      ...absolutePath('The PKCS#11 module. Default: the first SoftHSM found.', ''),
      // Looked for where a default is read, not where the program is loaded.
      get default() {
        return firstModule();
      },
    },
    token: tokenLabel('Label of the token.', 'kleidi'),
    pin: secretReference('User PIN of the token.', 'credential:pin'),
    soPin: secretReference('Security officer PIN; only provision reads it.', 'credential:so-pin'),
    pinBinding: pinBinding(
      'What a sealed PIN is bound to. auto: host+tpm2 where there is a TPM, else host.',
      'auto',
    ),
    pinPcrs: pcrNumbers(
      'PCRs whose values a PIN in the TPM also hangs on; what changes one locks it. None: the machine alone.',
      [] as number[],
    ),
    softhsmConf: absolutePath(
      "SoftHSM's own settings; other modules ignore it.",
      '/etc/kleidi/softhsm2.conf',
    ),
    environment: variableNames(
      'Environment variables that the module needs: their names. Work on the token gets no others.',
      [] as string[],
    ),
  },
  vault: {
    address: httpsAddresses(
      'Vault or OpenBao servers; the next is asked where one cannot be reached. Empty: not used.',
      [] as string[],
    ),
    namespace: urlPath('Namespace, where the server has them.', ''),
    mount: urlPath('Where the Transit engine is mounted.', 'transit'),
    key: urlPath('Name of the Transit key, of type aes256-gcm96.', 'kleidi'),
    caFile: pathOrNothing("CA that signs the servers' certificates; nothing: the system's.", ''),
    auth: {
      method: authMethod(
        'How kleidi logs in: approle, cert, jwt, or token (for trials).',
        'approle',
      ),
      mount: urlPath('Where that auth method is mounted; nothing: its own name.', ''),
      role: word('Role, for cert and jwt.', ''),
      roleId: word('Role id, for approle.', ''),
      secretId: secretReference('Secret id, for approle.', 'credential:vault-secret-id'),
      certFile: pathOrNothing('Client certificate (PEM), for cert.', ''),
      key: secretReference('Private key of the certificate (PEM).', 'credential:vault-key'),
      jwtFile: pathOrNothing('File with the JWT, for jwt; read at each login.', ''),
      token: secretReference('Token, for token.', 'credential:vault-token'),
    },
  },
  tpm: {
    module: {
      ...absolutePath('The PKCS#11 module of tpm2-pkcs11. Default: the first found.', ''),
      get default() {
        return firstTpmModule();
      },
    },
    token: tokenLabel('Label of the token in its store.', 'kleidi'),
    store: absolutePath('Folder of its store: kleidi tpm create makes it.', '/var/lib/kleidi/tpm'),
    tcti: word('How the TPM is reached, as TPM2-TSS names it.', 'device:/dev/tpmrm0'),
    pin: secretReference('User PIN of that token.', 'credential:tpm-pin'),
  },
  selfTest: {
    intervalMs: wholeNumber(100, 3_600_000)('Between two self-tests of the token.', 10_000),
  },
  verifier: {
    intervalMs: wholeNumber(1_000, 86_400_000)(
      'Between two checks of what the token holds on disk.',
      300_000,
    ),
  },
  limits: {
    queue: wholeNumber(1, 65_536)('Encrypt and Decrypt calls at once; more are refused.', 256),
    connections: wholeNumber(1, 15_000)(
      'Open connections; beyond, the one longest without a finished call makes room.',
      512,
    ),
    callTimeoutMs: wholeNumber(100, 60_000)(
      'Longest wait for one answer of the token; below the timeout of kube-apiserver: 3 s, unless its EncryptionConfiguration says another.',
      2_500,
    ),
    openTimeoutMs: wholeNumber(100, 20_000)(
      'Longest wait for the token to open, and again for its keys; both together stay below TimeoutStartSec=45s of the unit.',
      15_000,
    ),
  },
};

/** What earlier versions took, and what to do instead. */
export const removedFields: ReadonlyMap<string, string> = new Map([
  [
    'vault.auth.wrapped',
    'removed: a wrapping token opens once, and every start logs in. Unwrap it once, by vault unwrap -field=secret_id TOKEN, keep the secret id as vault.auth.secretId says, and delete this line',
  ],
]);

function isHttps(text: string): boolean {
  // Plain HTTP only to this host itself: a server on trial, or an agent beside kleidi.
  return /^https:\/\/[^/\s]+$|^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(text);
}
