// Logging with pino. Under systemd each line begins with its priority, <N>, as
// sd-daemon(3) has it; on a terminal it begins with the time. Libraries and
// inner layers do not log: the host side says once what changed.
import pino from 'pino';

export type Log = pino.Logger;
export type LogFormat = 'auto' | 'journald' | 'json' | 'pretty';
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields that never reach a log, at any depth, whatever object somebody logs by mistake. */
export const secretFields = [
  'pin',
  'soPin',
  'oldPin',
  'newPin',
  'password',
  'passphrase',
  'plaintext',
  'ciphertext',
  'secret',
  'secretId',
  'token_secret',
  'key',
  'privateKey',
  'body',
] as const;

const secretNames: ReadonlySet<string> = new Set(secretFields.map((name) => name.toLowerCase()));

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** What a line goes to: standard output in the daemon. */
export interface LogSink {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export function openLog(
  settings: LogSettings,
  sink: LogSink = process.stdout,
  env: NodeJS.ProcessEnv = process.env,
): Log {
  const format = settings.format === 'auto' ? detectFormat(sink, env) : settings.format;
  const options = { level: settings.level, base: null };
  const write = (line: string): unknown => sink.write(lineIn(format, recordOf(line)));
  return pino(options, { write });
}

/** JOURNAL_STREAM is what systemd sets where output goes to the journal (systemd.exec(5)). */
function detectFormat(sink: LogSink, env: NodeJS.ProcessEnv): Exclude<LogFormat, 'auto'> {
  if (sink.isTTY === true) return 'pretty';
  return env['JOURNAL_STREAM'] === undefined ? 'json' : 'journald';
}

interface LogRecord {
  readonly level: number;
  readonly time: number;
  readonly [field: string]: unknown;
}

/**
 * pino's own redaction goes by paths of a fixed depth; a reviver sees every
 * name, however deep. Level and time are pino's, also where a logged object has
 * fields of those names.
 */
function recordOf(json: string): LogRecord {
  const [, level, time] = /^\{"level":(\d+),"time":(\d+)/.exec(json) ?? [];
  const fields = JSON.parse(json, censored) as Record<string, unknown>;
  return { ...fields, level: Number(level), time: Number(time) };
}

function censored(name: string, value: unknown): unknown {
  return secretNames.has(name.toLowerCase()) ? '[redacted]' : value;
}

function lineIn(format: Exclude<LogFormat, 'auto'>, record: LogRecord): string {
  if (format === 'json') return `${JSON.stringify(record)}\n`;
  const { level, time, msg, ...fields } = record;
  const text = oneLine([msg, ...Object.entries(fields).map(fieldText)].join(' '));
  if (format === 'journald') return `<${priority(level)}>${text}\n`;
  return `${new Date(time).toISOString()} ${pino.levels.labels[level]} ${text}\n`;
}

/** A client's text must not begin a second line, nor steer a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}

function fieldText([name, value]: [string, unknown]): string {
  return `${name}=${typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`;
}

/** pino's numbers as syslog's: error 3, warning 4, info 6, debug 7. */
function priority(level: number): number {
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
}
