// The form of install.conf: KEY=value, one a line, `#` before a comment. Read by kleidi
// alone, and never by a shell: a value stands as it is, without quotes or variables.

const choiceKeys = ['ROLE', 'RING', 'FIRST_KEK', 'RECOVERY_KEY', 'RECOVERY_FINGERPRINT'] as const;
export type ChoiceKey = (typeof choiceKeys)[number];

export interface Mistake {
  readonly line: number;
  readonly what: string;
}

interface Assignment {
  readonly line: number;
  readonly value: string;
}

export interface ChoiceLines {
  /** Of a key that stands twice, the first. */
  readonly found: ReadonlyMap<ChoiceKey, Assignment>;
  readonly mistakes: readonly Mistake[];
}

export function parseChoiceLines(text: string): ChoiceLines {
  const found = new Map<ChoiceKey, Assignment>();
  const mistakes: Mistake[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const [, name = '', value = ''] = /^([^=]*)=(.*)$/.exec(trimmed) ?? [];
    const key = choiceKeys.find((each) => each === name);
    const what = lineMistake(trimmed, key && found.get(key));
    if (what !== undefined) mistakes.push({ line, what });
    else if (key !== undefined) found.set(key, { line, value });
  }
  return { found, mistakes };
}

function lineMistake(trimmed: string, before: Assignment | undefined): string | undefined {
  const name = /^([^=]*)=/.exec(trimmed)?.[1];
  if (name === undefined) return `'${trimmed}' is not KEY=value, nor a comment (# first)`;
  if (!choiceKeys.some((each) => each === name)) {
    return `unknown key '${name}'; allowed: ${choiceKeys.join(', ')}, without blanks around =`;
  }
  if (before === undefined) return undefined;
  return `${name} is set in line ${before.line} already; allowed: once`;
}
