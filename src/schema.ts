// The fields of kleidi.yaml: the meaning, default and rule of each, as convict
// takes them. config.ts reads files by it.
import { firstModule } from './softhsm.ts';

interface Rule {
  /** In words. */
  readonly allowed: string;
  /** Throws what is wrong; convict puts the field's name in front. */
  check(value: unknown): void;
}

function rule(allowed: string, good: (value: unknown) => boolean): Rule {
  const check = (value: unknown): void => {
    if (!good(value)) throw new Error(`found ${JSON.stringify(value)}, allowed is ${allowed}`);
  };
  return { allowed, check };
}

const isText = (value: unknown): value is string => typeof value === 'string';
const absolutePath = rule('an absolute path', (v) => isText(v) && /^\/[^\0]*$/.test(v));
/** Never shows what it found: somebody may have written the PIN itself there. */
const references = 'credential:NAME or file:/ABSOLUTE/PATH';
const secretReference: Rule = {
  allowed: references,
  check(value) {
    if (isText(value) && /^(credential:[A-Za-z0-9._-]+|file:\/.+)$/.test(value)) return;
    throw new Error(
      `found something else (not shown), allowed is ${references}: the secret itself never stands in this file`,
    );
  },
};
const tokenLabel = rule('1 to 32 bytes of text', (v) => {
  const bytes = isText(v) ? Buffer.byteLength(v) : 0;
  return bytes >= 1 && bytes <= 32;
});
const oneOf = (...words: string[]): Rule =>
  rule(`one of ${words.join(', ')}`, (v) => isText(v) && words.includes(v));
const wholeNumber = (least: number, most: number): Rule =>
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

const field = <T>(doc: string, fallback: T, { allowed, check }: Rule) => ({
  doc,
  default: fallback,
  allowed,
  format: (value: unknown) => check(value),
});

export const schema = {
  ring: field('The ring file; the same on every host.', '/var/lib/kleidi/ring.json', absolutePath),
  socket: field(
    'The socket, where systemd hands none over; also where the commands find the daemon.',
    '/run/kleidi/kms.sock',
    absolutePath,
  ),
  runtimeDir: field(
    'What must outlive a restart but not a reboot: refused PINs, crashes at start.',
    '/run/kleidi-daemon',
    absolutePath,
  ),
  encryptionConfig: field(
    "The EncryptionConfiguration that names kleidi's socket to kube-apiserver.",
    '/etc/kubernetes/kleidi/encryption-config.yaml',
    absolutePath,
  ),
  log: {
    level: field('Least level that is logged.', 'info', oneOf('debug', 'info', 'warn', 'error')),
    format: field(
      'auto: pretty on a terminal, journald under systemd, else json.',
      'auto',
      oneOf('auto', 'journald', 'json', 'pretty'),
    ),
  },
  pkcs11: {
    module: {
      ...field('The PKCS#11 module. Default: the first SoftHSM found.', '', absolutePath),
      // Looked for where a default is read, not where the program is loaded.
      get default() {
        return firstModule();
      },
    },
    token: field('Label of the token.', 'kleidi', tokenLabel),
    pin: field('User PIN of the token.', 'credential:pin', secretReference),
    soPin: field(
      'Security officer PIN; only provision reads it.',
      'credential:so-pin',
      secretReference,
    ),
    softhsmConf: field(
      "SoftHSM's own settings; other modules ignore it.",
      '/etc/kleidi/softhsm2.conf',
      absolutePath,
    ),
    environment: field(
      'Environment variables that the module needs: their names. Work on the token gets no others.',
      [] as string[],
      variableNames,
    ),
  },
  vault: {
    address: field(
      'Vault or OpenBao servers; the next is asked where one cannot be reached. Empty: not used.',
      [] as string[],
      httpsAddresses,
    ),
    namespace: field('Namespace, where the server has them.', '', urlPath),
    mount: field('Where the Transit engine is mounted.', 'transit', urlPath),
    key: field('Name of the Transit key, of type aes256-gcm96.', 'kleidi', urlPath),
    caFile: field(
      "CA that signs the servers' certificates; nothing: the system's.",
      '',
      pathOrNothing,
    ),
    auth: {
      method: field(
        'How kleidi logs in: approle, cert, jwt, or token (for trials).',
        'approle',
        oneOf('approle', 'cert', 'jwt', 'token'),
      ),
      mount: field('Where that auth method is mounted; nothing: its own name.', '', urlPath),
      role: field('Role, for cert and jwt.', '', word),
      roleId: field('Role id, for approle.', '', word),
      secretId: field('Secret id, for approle.', 'credential:vault-secret-id', secretReference),
      certFile: field('Client certificate (PEM), for cert.', '', pathOrNothing),
      key: field('Private key of the certificate (PEM).', 'credential:vault-key', secretReference),
      jwtFile: field('File with the JWT, for jwt; read at each login.', '', pathOrNothing),
      token: field('Token, for token.', 'credential:vault-token', secretReference),
    },
  },
  selfTest: {
    intervalMs: field('Between two self-tests of the token.', 10_000, wholeNumber(100, 3_600_000)),
  },
  verifier: {
    intervalMs: field(
      'Between two checks of what the token holds on disk.',
      300_000,
      wholeNumber(1_000, 86_400_000),
    ),
  },
  limits: {
    queue: field(
      'Encrypt and Decrypt calls at once; more are refused.',
      256,
      wholeNumber(1, 65_536),
    ),
    connections: field(
      'Open connections; beyond, the one longest without a finished call makes room.',
      512,
      wholeNumber(1, 15_000),
    ),
    callTimeoutMs: field(
      'Longest wait for one answer of the token; below the 3 s of kube-apiserver.',
      2_500,
      wholeNumber(100, 2_900),
    ),
    openTimeoutMs: field(
      'Longest wait for the token to open, and again for its keys; both together stay below TimeoutStartSec=45s of the unit.',
      15_000,
      wholeNumber(100, 20_000),
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
