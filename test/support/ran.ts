// Which commands the tests of this run have run, by exit code: a command that
// stands in a skipped test, or in a text, has not been run.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** Set by test/run.ts for a whole run. */
const file = process.env['KLEIDI_TEST_RAN'];

/** @param args what follows `kleidi` */
export function recordRun(args: readonly string[], exitCode: number | null): void {
  if (file === undefined) return;
  const words = args.filter((arg) => /^[a-z][a-z-]*$/.test(arg)).slice(0, 2);
  appendFileSync(file, `${words.join(' ')}\t${exitCode}\n`);
}

/** Every `kleidi …` in a shell command that has come to its end. */
export function recordShell(command: string, exitCode: number | null): void {
  for (const [, line = ''] of command.matchAll(/\bkleidi ([a-z-]+(?: [a-z-]+)?)/g)) {
    recordRun(line.split(' '), exitCode);
  }
}

/** Undefined where this is no whole run. */
export function commandsThatSucceeded(): ReadonlySet<string> | undefined {
  if (file === undefined || !existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  return new Set(
    lines.filter((line) => line.endsWith('\t0')).map((line) => line.replace(/\t.*/, '')),
  );
}
