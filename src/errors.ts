// The one error class of kleidi and the closed list of its codes.
// The table says what each code means to each audience: gRPC status, exit
// code of the command, and the sentence that an API server may be shown
// (no path, no secret). Imports nothing.

interface ErrorKind {
  readonly grpc: GrpcStatusName;
  readonly exit: 1 | 2 | 78;
  /** Shown over gRPC in place of the message. Undefined: the message itself may be shown. */
  readonly health: string | undefined;
}

type GrpcStatusName =
  | 'CANCELLED'
  | 'DEADLINE_EXCEEDED'
  | 'FAILED_PRECONDITION'
  | 'INTERNAL'
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE';

const kind = (grpc: GrpcStatusName, exit: 1 | 2 | 78, health: string): ErrorKind => ({
  grpc,
  exit,
  health,
});

/** About one request: its messages are written for the client and name no path. */
const request = (grpc: GrpcStatusName): ErrorKind => ({ grpc, exit: 1, health: undefined });

export const errorKinds = {
  // A request that can never succeed as it is. Never changes health.
  'plaintext-invalid': request('INVALID_ARGUMENT'),
  'ciphertext-invalid': request('INVALID_ARGUMENT'),
  'request-invalid': request('INVALID_ARGUMENT'),
  'key-id-invalid': request('INVALID_ARGUMENT'),
  'key-id-mismatch': request('INVALID_ARGUMENT'),
  'key-id-foreign': request('FAILED_PRECONDITION'),
  'kek-unknown': request('NOT_FOUND'),
  'kek-retired': request('FAILED_PRECONDITION'),
  // A request at the wrong moment.
  'queue-full': request('RESOURCE_EXHAUSTED'),
  deadline: request('DEADLINE_EXCEEDED'),
  cancelled: request('CANCELLED'),
  starting: kind('UNAVAILABLE', 1, 'kleidi has not opened its token yet'),
  // The state of this host.
  'kek-missing': kind('FAILED_PRECONDITION', 1, 'this host lacks the KEK'),
  'kek-mismatch': kind('FAILED_PRECONDITION', 1, 'this host holds another key under this KEK'),
  'kek-exhausted': kind('RESOURCE_EXHAUSTED', 1, 'the write KEK is used up, rotate it'),
  'ring-missing': kind('FAILED_PRECONDITION', 1, 'the ring file is missing'),
  'ring-invalid': kind('FAILED_PRECONDITION', 1, 'the ring file is not valid'),
  'ring-empty': kind('FAILED_PRECONDITION', 1, 'the ring has no write KEK yet'),
  'ring-rollback': kind('FAILED_PRECONDITION', 1, 'the ring file does not follow the one in use'),
  'module-missing': kind('UNAVAILABLE', 78, 'the PKCS#11 module cannot be loaded'),
  'module-failed': kind('UNAVAILABLE', 1, 'the PKCS#11 module fails'),
  'module-unsupported': kind('UNAVAILABLE', 78, 'the PKCS#11 module lacks a needed mechanism'),
  'module-crashed': kind('UNAVAILABLE', 1, 'the PKCS#11 module crashed kleidi at start'),
  'child-failed': kind('UNAVAILABLE', 1, 'a child process could not do its work'),
  'token-missing': kind('UNAVAILABLE', 1, 'the PKCS#11 token is not present'),
  'token-damaged': kind('UNAVAILABLE', 1, 'the PKCS#11 token is damaged'),
  'pin-missing': kind('UNAVAILABLE', 78, 'the PIN credential is missing'),
  'pin-refused': kind('UNAVAILABLE', 1, 'the token refuses the PIN'),
  'provider-missing': kind('FAILED_PRECONDITION', 78, 'the provider of a KEK is not configured'),
  'vault-unreachable': kind('UNAVAILABLE', 1, 'Vault cannot be reached'),
  'vault-sealed': kind('UNAVAILABLE', 1, 'Vault is sealed or in standby'),
  'vault-throttled': kind('RESOURCE_EXHAUSTED', 1, 'Vault refuses more requests'),
  'vault-denied': kind('FAILED_PRECONDITION', 1, 'Vault does not allow this host its key'),
  'vault-login-failed': kind('FAILED_PRECONDITION', 1, 'Vault refuses the login of this host'),
  'vault-key-missing': kind('FAILED_PRECONDITION', 1, 'the Transit key or its mount is missing'),
  'vault-key-unfit': kind('FAILED_PRECONDITION', 1, 'the Transit key is of an unfit type'),
  'vault-unbound': kind('FAILED_PRECONDITION', 1, 'Vault does not bind additional data'),
  'vault-key-swapped': kind('FAILED_PRECONDITION', 1, 'Vault holds another key under this KEK'),
  'vault-known-invalid': kind('FAILED_PRECONDITION', 1, 'the file of known texts is damaged'),
  'vault-version-disallowed': kind(
    'FAILED_PRECONDITION',
    1,
    'Transit no longer allows this key version',
  ),
  'vault-failed': kind('UNAVAILABLE', 1, 'Vault fails'),
  // The command line.
  usage: kind('INTERNAL', 2, 'wrong use of the command'),
  'config-invalid': kind('INTERNAL', 78, 'the configuration is not valid'),
  'ring-locked': kind('INTERNAL', 1, 'another kleidi command is changing the ring'),
  'already-exists': kind('INTERNAL', 1, 'the output file exists'),
  refused: kind('INTERNAL', 1, 'the command refuses, nothing was changed'),
  'not-running': kind('UNAVAILABLE', 1, 'no kleidi daemon runs'),
  'no-answer': kind('UNAVAILABLE', 1, 'the kleidi daemon does not answer'),
  'socket-unusable': kind('INTERNAL', 78, 'the socket path cannot be used'),
  'apiserver-unreachable': kind('INTERNAL', 1, 'the API server of this host cannot be asked'),
  'file-failed': kind('INTERNAL', 1, 'a file cannot be read or written'),
  'tool-missing': kind('INTERNAL', 1, 'a needed program is missing'),
  'snapshot-invalid': kind('INTERNAL', 1, 'the file is no etcd snapshot, or is damaged'),
  'scan-cannot-tell': kind('INTERNAL', 1, 'the snapshot proves nothing, one way or the other'),
  'change-not-applied': kind('INTERNAL', 1, 'the change was not taken up'),
  internal: kind('INTERNAL', 1, 'kleidi has a bug here'),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

interface Details {
  /** What to do next, as a sentence or a command. */
  readonly hint?: string;
  /** The step that failed: clients are told it too, so never a path. */
  readonly stage?: string | undefined;
  readonly cause?: unknown;
}

/** What failed, on what, and what to do next. Never holds a secret. */
export class KleidiError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly #stage: string | undefined;

  constructor(code: ErrorCode, message: string, details: Details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'KleidiError';
    this.code = code;
    this.hint = details.hint;
    this.#stage = details.stage;
  }

  get kind(): ErrorKind {
    return errorKinds[this.code];
  }

  /** What a client may be told: no path, no name of this host. */
  get publicText(): string {
    const text = this.kind.health ?? this.message;
    return this.#stage === undefined ? text : `${text}, in ${this.#stage}`;
  }

  /** Any thrown value as a KleidiError: what is not one already is a bug of ours. */
  static from(error: unknown): KleidiError {
    if (error instanceof KleidiError) return error;
    return new KleidiError('internal', reasonOf(error), { cause: error });
  }
}

/** What any thrown value says, for the message of the error that is made of it. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Wrong use of a command. */
export function usage(message: string): KleidiError {
  return new KleidiError('usage', message, { hint: 'add --help for the use and an example' });
}
