// Logging with pino. Under systemd each line begins with its priority, <N>, as
// sd-daemon(3) has it; on a terminal it begins with the time. Libraries and
// inner layers do not log: the host side says once what changed.
import pino from 'pino';

export type Log = pino.Logger;
export type LogFormat = 'auto' | 'journald' | 'json' | 'pretty';
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields that never reach a log, whatever object somebody logs by mistake. */
const secretFields = [
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
];

const redact = {
  paths: ['', '*.', '*.*.', '*.*.*.'].flatMap((depth) => secretFields.map((f) => `${depth}${f}`)),
  censor: '[redacted]',
};

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
  const options = { level: settings.level, redact, base: null };
  const write = (line: string): unknown => sink.write(lineIn(format, line));
  return pino(options, { write });
}

/** JOURNAL_STREAM is what systemd sets where output goes to the journal (systemd.exec(5)). */
function detectFormat(sink: LogSink, env: NodeJS.ProcessEnv): Exclude<LogFormat, 'auto'> {
  if (sink.isTTY === true) return 'pretty';
  return env['JOURNAL_STREAM'] === undefined ? 'json' : 'journald';
}

function lineIn(format: Exclude<LogFormat, 'auto'>, json: string): string {
  if (format === 'json') return json;
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const text = [msg, ...Object.entries(fields).map(fieldText)].join(' ').replaceAll('\n', ' ');
  if (format === 'journald') return `<${priority(Number(level))}>${text}\n`;
  return `${new Date(Number(time)).toISOString()} ${pino.levels.labels[Number(level)]} ${text}\n`;
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
