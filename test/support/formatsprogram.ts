// The second implementation of docs/formats.md: test/formats, in Go.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { missingTool, skipReason } from './skip.ts';

export type Question = Readonly<Record<string, unknown>> & { readonly do: string };
/** `refused` with the reason, or what was asked. */
export type Answer = Readonly<Record<string, unknown>>;

const build = fileURLToPath(new URL('../formats/build', import.meta.url));
const atOnce = 1_000;
const maxBuffer = 256 * 1024 * 1024;

interface Built {
  readonly path: string;
  readonly reason: string;
}

function built(): Built {
  const { status, stdout, stderr } = spawnSync('sh', [build], { encoding: 'utf8' });
  const last = stderr.trim().split('\n').at(-1) ?? '';
  return { path: stdout.trim(), reason: status === 0 ? '' : last || 'the build failed' };
}

/** Why it cannot be run here, for `skip`; false where it can. */
export function missingFormatsProgram(): string | false {
  const missing = missingTool('go');
  if (missing !== false) return missing;
  const { reason } = built();
  return reason === '' ? false : skipReason(`test/formats: ${reason}`);
}

/** One answer to each question. @throws Error where the program ends otherwise than by itself */
export function ask(questions: readonly Question[]): readonly Answer[] {
  const { path } = built();
  const answers: Answer[] = [];
  for (let from = 0; from < questions.length; from += atOnce) {
    const some = questions.slice(from, from + atOnce);
    const input = some.map((question) => `${JSON.stringify(question)}\n`).join('');
    const { status, stdout, stderr } = spawnSync(path, { input, encoding: 'utf8', maxBuffer });
    if (status !== 0) throw new Error(`test/formats ended: ${stderr.slice(0, 2_000)}`);
    for (const line of stdout.trimEnd().split('\n')) answers.push(JSON.parse(line) as Answer);
  }
  return answers;
}
