// install.conf: what the operator has chosen before the installation. All mistakes are
// found in one pass, each with its line and what is allowed.
import { KleidiError, reasonOf } from '../../errors.ts';
import { isErrno } from '../../files.ts';
import { isRingName } from '../../keyring/keyid.ts';
import { type RecoveryKey, readRecoveryKey } from '../../keyring/recoverypublickey.ts';
import { readOwnFile } from '../../readfile.ts';
import { type ChoiceKey, type ChoiceLines, type Mistake, parseChoiceLines } from './choicelines.ts';

export type Choices = OfflineMachine | Master;

/** The machine of the recovery key: it gets no token, ring or service. */
interface OfflineMachine {
  readonly role: 'offline';
}

interface Master {
  readonly role: 'master';
  /** Undefined where the file names none. */
  readonly ring: string | undefined;
  /** Undefined where the file does not say: then a first KEK is made on a new host. */
  readonly firstKek: boolean | undefined;
  /** Its fingerprint was named in the file, and is the right one. */
  readonly recovery: RecoveryKey | undefined;
}

interface Rule {
  readonly allowed: string;
  isAllowed(value: string): boolean;
}

function oneOf(...words: readonly string[]): Rule {
  return { allowed: words.join(' or '), isAllowed: (value) => words.includes(value) };
}

const rules: Readonly<Record<ChoiceKey, Rule>> = {
  ROLE: oneOf('master', 'offline'),
  RING: { allowed: '1 to 63 of a-z 0-9 and inner hyphens', isAllowed: isRingName },
  FIRST_KEK: oneOf('yes', 'no'),
  RECOVERY_KEY: {
    allowed: 'an absolute path, without quotes',
    isAllowed: (value) => /^\/[^"'\0]*$/.test(value),
  },
  RECOVERY_FINGERPRINT: {
    allowed: 'the 64 hex digits that kleidi recovery create has shown',
    isAllowed: (value) => /^(?:sha256:)?[0-9a-f]{64}$/i.test(value),
  },
};

/**
 * @returns the defaults where there is no such file
 * @throws KleidiError config-invalid, with every mistake
 */
export async function readChoices(path: string): Promise<Choices> {
  const lines = parseChoiceLines(await textOf(path));
  const bad = valueMistakes(lines);
  const unfit = new Set(bad.map(({ line }) => line));
  const recovery = await recoveryOf(lines, unfit);
  const mistakes = [...lines.mistakes, ...bad, ...contradictions(lines), ...recovery.mistakes];
  if (mistakes.length > 0) throw invalid(path, mistakes);
  const value = (key: ChoiceKey): string | undefined => lines.found.get(key)?.value;
  if (value('ROLE') === 'offline') return { role: 'offline' };
  const firstKek = value('FIRST_KEK');
  return {
    role: 'master',
    ring: value('RING'),
    firstKek: firstKek === undefined ? undefined : firstKek === 'yes',
    recovery: recovery.key,
  };
}

async function textOf(path: string): Promise<string> {
  try {
    return await readOwnFile(path);
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return '';
    throw new KleidiError('config-invalid', `${path} cannot be read: ${reasonOf(cause)}`, {
      hint: `make it a file that root can read, then run: kleidi provision --choices ${path}`,
      cause,
    });
  }
}

function valueMistakes({ found }: ChoiceLines): Mistake[] {
  return [...found]
    .filter(([key, { value }]) => !rules[key].isAllowed(value))
    .map(([key, { line, value }]) => ({
      line,
      what: `${key}: '${value}' is not allowed; allowed: ${rules[key].allowed}`,
    }));
}

/** What cannot stand together, or not alone. */
function contradictions({ found }: ChoiceLines): Mistake[] {
  const partner = { RECOVERY_KEY: 'RECOVERY_FINGERPRINT', RECOVERY_FINGERPRINT: 'RECOVERY_KEY' };
  const role = found.get('ROLE');
  const isOffline = role?.value === 'offline';
  return [...found].flatMap(([key, { line }]) => {
    if (key === 'ROLE') return [];
    if (isOffline) {
      const what = `${key} has no meaning with ROLE=offline (line ${role.line}); allowed: ROLE alone`;
      return [{ line, what }];
    }
    if (key !== 'RECOVERY_KEY' && key !== 'RECOVERY_FINGERPRINT') return [];
    const other = partner[key] as ChoiceKey;
    if (found.has(other)) return [];
    return [{ line, what: `${key} is without ${other}; allowed: both, or none` }];
  });
}

interface Recovery {
  readonly key?: RecoveryKey;
  readonly mistakes: readonly Mistake[];
}

/** The file is looked at where only the fingerprint is wrong or missing, too. */
async function recoveryOf({ found }: ChoiceLines, unfit: ReadonlySet<number>): Promise<Recovery> {
  const file = found.get('RECOVERY_KEY');
  const named = found.get('RECOVERY_FINGERPRINT');
  if (file === undefined || unfit.has(file.line)) return { mistakes: [] };
  const isNamed = named !== undefined && !unfit.has(named.line);
  try {
    const key = await readRecoveryKey(isNamed ? `${file.value}=${named.value}` : file.value);
    return { key, mistakes: [] };
  } catch (error) {
    const { message } = KleidiError.from(error);
    const what = `RECOVERY_KEY: ${message}; allowed: the public file of kleidi recovery create`;
    return { mistakes: [{ line: file.line, what }] };
  }
}

function invalid(path: string, mistakes: readonly Mistake[]): KleidiError {
  const list = [...mistakes]
    .sort((a, b) => a.line - b.line)
    .map(({ line, what }) => `\n  line ${line}: ${what}`)
    .join('');
  return new KleidiError(
    'config-invalid',
    `${path} is not valid, nothing was provisioned:${list}`,
    {
      hint: `correct the file; kleidi provision --choices ${path} --check says whether it is right, and without --check goes on`,
    },
  );
}
