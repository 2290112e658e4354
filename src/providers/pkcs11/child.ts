// Token work in a short-lived child of the same program: it opens the token
// afresh, may crash without harm, and runs as the owner of the token folder.
// Parent and child speak JSON lines over pipes, so that no PIN is in an
// argument, the environment or a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type ErrorCode, errorKinds, KleidiError } from '../../errors.ts';
import type { Owner } from '../../files.ts';

/** What a child may be asked for; each is a hidden verb of the command line. */
type ChildVerb = 'verify-token' | 'token-work';

interface ChildOptions {
  readonly owner?: Owner | undefined;
  /** The child is killed then; a hung module must not hang us. */
  readonly timeoutMs: number;
  /** Names of variables of this process that it gets. */
  readonly environment: readonly string[];
}

const plainEnvironment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' };

interface ChildFailure {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
}

type Ending =
  | { readonly kind: 'not-started'; readonly why: string }
  | { readonly kind: 'ended'; readonly how: string };

export class TokenChild {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<Ending>;

  private constructor(process: ChildProcess, lines: AsyncIterator<string>) {
    this.#process = process;
    this.#lines = lines;
    this.#ended = new Promise((resolve) => {
      process.once('error', ({ message }) => resolve({ kind: 'not-started', why: message }));
      process.once('exit', (code, signal) => {
        resolve({ kind: 'ended', how: signal ?? `exit code ${code}` });
      });
    });
  }

  /**
   * A session of its own without a terminal, and only the variables that are named:
   * a hostile module types nothing as root, and reads no secret of the caller's.
   */
  static start(verb: ChildVerb, { owner, timeoutMs, environment }: ChildOptions): TokenChild {
    const program = [...process.execArgv, process.argv[1] ?? '', verb];
    const child = spawn(process.execPath, program, {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
      env: environmentOf(environment),
      cwd: '/',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      ...owner,
    });
    // A child that died early makes writing fail; reading then tells how it ended.
    child.stdin?.on('error', () => undefined);
    // Without a free descriptor there is no pipe, and the child has not started.
    const lines = createInterface({ input: child.stdout ?? Readable.from([]) });
    return new TokenChild(child, lines[Symbol.asyncIterator]());
  }

  send(message: object): void {
    this.#process.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  /**
   * @throws KleidiError what the child reports; `module-crashed` if it just ended,
   * `child-failed` if it could not be started or was killed
   */
  async receive(): Promise<Record<string, unknown>> {
    const line = await this.#lines.next();
    if (line.done === true) throw errorOf(await this.#ended);
    const message = JSON.parse(line.value) as Record<string, unknown>;
    if ('error' in message) throw reported(message as unknown as ChildFailure);
    return message;
  }

  /** Closing the pipe is the child's sign to end. */
  async end(): Promise<void> {
    this.#process.stdin?.end();
    await this.#ended;
  }
}

/** Of what works on a token, and of nothing else: these variables of this process, and no other. */
export function environmentOf(names: readonly string[]): NodeJS.ProcessEnv {
  const picked = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  return { ...plainEnvironment, ...picked };
}

/** For the child's side: the one line that ends it. */
export function failureLine(thrown: unknown): ChildFailure {
  const { code, message, hint } = KleidiError.from(thrown);
  return { error: { code, message, ...(hint === undefined ? {} : { hint }) } };
}

function reported({ error }: ChildFailure): KleidiError {
  const code: ErrorCode = Object.hasOwn(errorKinds, error.code)
    ? (error.code as ErrorCode)
    : 'internal';
  return new KleidiError(code, error.message, error.hint === undefined ? {} : { hint: error.hint });
}

/** SIGKILL comes from our own time limit or for want of memory, never from a fault of the module. */
function errorOf(ending: Ending): KleidiError {
  if (ending.kind === 'not-started') return childFailed(`could not be started: ${ending.why}`);
  if (ending.how === 'SIGKILL')
    return childFailed('was killed: it took too long, or memory ran out');
  return new KleidiError(
    'module-crashed',
    `the PKCS#11 module ended a child process (${ending.how})`,
    {
      hint: 'the token or the module is damaged: restore the token from its recovery, or repair the module',
    },
  );
}

function childFailed(why: string): KleidiError {
  return new KleidiError('child-failed', `a child process for work on the token ${why}`, {
    hint: 'check free memory, the limits of processes and open files, and that the HSM answers; then try again',
  });
}
