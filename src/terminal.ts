// The only writer to the terminal; what others have written is made harmless here.
// Results go to standard output, everything
// about them to standard error; lower case, no full stop, no colour unless a
// person is looking and NO_COLOR is unset.
import { fstatSync } from 'node:fs';
import { KleidiError } from './errors.ts';
import { isErrno } from './files.ts';
import { printable, printableJson } from './printable.ts';

const colours = { red: 31, yellow: 33, green: 32, bold: 1, dim: 2 } as const;
export type Colour = keyof typeof colours;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of paint() and no other
const ownColour = /(\x1b\[(?:0|1|2|31|32|33)m)/;

/** As any command does in a pipeline whose reader has enough: the daemon goes on. */
export function endWithReader(): void {
  process.stdout.on('error', (error) => {
    if (!isErrno(error, 'EPIPE')) throw error;
    process.exit();
  });
}

/** One line of result, or many. */
export function print(text: string): void {
  write(process.stdout, `${text}\n`);
}

/** Exactly one object, for programs. */
export function printJson(value: unknown): void {
  const json = JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined);
  process.stdout.write(`${printableJson(json)}\n`);
}

/** What is going on, for people only. */
export function note(text: string): void {
  write(process.stderr, `kleidi: ${text}\n`);
}

/** What is going on, in one line that the next call replaces; nothing where nobody is looking. */
export function status(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${printable(text)}`);
}

/** A question; the answer stands on the same line. */
export function prompt(text: string): void {
  write(process.stderr, text);
}

export function warn(text: string): void {
  write(process.stderr, `kleidi: ${paint('warning', 'yellow', process.stderr)}: ${text}\n`);
}

/** @returns the exit code that belongs to the error */
export function printError(thrown: unknown): number {
  const error = KleidiError.from(thrown);
  const mark = isJournal(2) ? '<3>' : '';
  const say = (word: string, text: string): unknown =>
    write(process.stderr, `${mark}kleidi: ${word}: ${text}\n`);
  say(
    paint('error', 'red', process.stderr),
    error.message.replaceAll('\n', mark === '' ? '\n' : ';'),
  );
  if (error.hint !== undefined) say(paint('hint', 'bold', process.stderr), error.hint);
  if (error.code === 'internal') {
    const { cause } = error;
    write(process.stderr, `${cause instanceof Error ? cause.stack : error.stack}\n`);
  }
  return error.kind.exit;
}

/** Whether this fd is the journal's, which reads <N> as the priority (systemd.exec(5), sd-daemon(3)). */
function isJournal(fd: number): boolean {
  const { dev, ino } = fstatSync(fd);
  return process.env['JOURNAL_STREAM'] === `${dev}:${ino}`;
}

/** Only our own colours go through. */
function write(stream: NodeJS.WriteStream, text: string): void {
  const parts = text.split(ownColour);
  stream.write(parts.map((part, i) => (i % 2 === 1 ? part : printable(part))).join(''));
}

export function paint(text: string, colour: Colour, stream: NodeJS.WriteStream): string {
  const wanted = stream.isTTY && process.env['NO_COLOR'] === undefined;
  return wanted ? `\x1b[${colours[colour]}m${text}\x1b[0m` : text;
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}
