// Logging with pino. Under systemd an event goes to the journal with its fields;
// where that fails, as a line on standard output that begins with its priority,
// <N> (sd-daemon(3)). On a terminal a line begins with the time. Libraries and
// inner layers do not log: the host side says once what changed.
import { fstatSync } from 'node:fs';
import pino from 'pino';
import { type EventFields, type EventName, events } from './events.ts';
import { Journal, journalSocketPath } from './journal.ts';
import { journalFieldsOf, type LogRecord, lineOf } from './logline.ts';

/** What kleidi has to say, all of it listed in events.ts. */
export interface Log {
  /** @param text what happened, where the event's own text is not exact enough */
  event(name: EventName, fields?: EventFields, text?: string): void;
  /** Whether an event of this name would be logged: some fields cost time. */
  wants(name: EventName): boolean;
}

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
  readonly fd?: number;
  write(text: string): unknown;
  on?(event: 'error', listener: () => void): unknown;
}

/** The log of the daemon: events only. */
export function openLog(settings: LogSettings): Log {
  return eventLog(openLines(settings));
}

export function eventLog(lines: pino.Logger): Log {
  return {
    event: (name, fields = {}, text = events[name].text) =>
      lines[events[name].level]({ event: name, ...fields }, text),
    wants: (name) => lines.isLevelEnabled(events[name].level),
  };
}

/** @param journalSocket where entries of format journald go first, if anywhere */
export function openLines(
  settings: LogSettings,
  sink: LogSink = process.stdout,
  env: NodeJS.ProcessEnv = process.env,
  journalSocket = sink === process.stdout ? journalSocketPath : undefined,
): pino.Logger {
  const format = settings.format === 'auto' ? detectFormat(sink, env) : settings.format;
  const journal =
    format === 'journald' && journalSocket !== undefined ? Journal.open(journalSocket) : undefined;
  // A reader that has gone must not end the daemon.
  sink.on?.('error', () => undefined);
  const write = (line: string): unknown => {
    const record = recordOf(line);
    return journal?.send(journalFieldsOf(record)) === true || sink.write(lineOf(format, record));
  };
  return pino({ level: settings.level, base: null }, { write });
}

/** systemd names the stream that it has made; output may go elsewhere since (systemd.exec(5)). */
function detectFormat(sink: LogSink, env: NodeJS.ProcessEnv): Exclude<LogFormat, 'auto'> {
  if (sink.isTTY === true) return 'pretty';
  const stream = env['JOURNAL_STREAM'];
  return stream !== undefined && isStream(sink.fd, stream) ? 'journald' : 'json';
}

function isStream(fd: number | undefined, stream: string): boolean {
  if (fd === undefined) return true;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
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
