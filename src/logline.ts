// One record of the log, already redacted, in each of its forms: a line of JSON,
// a line for people, or the fields of a journal entry.
import { type EventName, events, type FieldName, journalFields } from './events.ts';
import type { JournalField } from './journal.ts';
import { oneLine } from './printable.ts';

export interface LogRecord {
  readonly level: number;
  readonly time: number;
  readonly [field: string]: unknown;
}

/** One line, with its end. */
export function lineOf(format: 'json' | 'journald' | 'pretty', record: LogRecord): string {
  if (format === 'json') return `${JSON.stringify(record)}\n`;
  const { level, time, msg, ...fields } = record;
  const text = textOf(msg, fields);
  const { priority, label } = severity(level);
  if (format === 'journald') return `<${priority}>${text}\n`;
  return `${new Date(time).toISOString()} ${label} ${text}\n`;
}

/** MESSAGE is what plain `journalctl -u kleidi` shows, so it holds the fields too. */
export function journalFieldsOf(record: LogRecord, identifier = 'kleidi'): JournalField[] {
  const { level, time: _, msg, event, ...fields } = record;
  return [
    ['MESSAGE', textOf(msg, fields)],
    ['PRIORITY', String(severity(level).priority)],
    ['SYSLOG_IDENTIFIER', identifier],
    ...messageId(event),
    ...Object.entries({ event, ...fields }).flatMap(matchable),
  ];
}

function messageId(event: unknown): JournalField[] {
  if (typeof event !== 'string' || !Object.hasOwn(events, event)) return [];
  return [['MESSAGE_ID', events[event as EventName].id]];
}

/** Fields that events.ts does not list are in MESSAGE alone. */
function matchable([name, value]: [string, unknown]): JournalField[] {
  if (!Object.hasOwn(journalFields, name)) return [];
  const values = [value].flat().filter((each) => typeof each !== 'object' && each !== undefined);
  return values.map((each) => [journalFields[name as FieldName], String(each)]);
}

/** A client's text must not begin a second line, nor steer a terminal. */
function textOf(msg: unknown, fields: Readonly<Record<string, unknown>>): string {
  const parts = [msg, ...Object.entries(fields).map(fieldText)];
  return oneLine(parts.join(' '));
}

function fieldText([name, value]: [string, unknown]): string {
  return `${name}=${typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`;
}

/** pino's numbers (pino.levels) as syslog's and in words. */
function severity(level: number): { readonly priority: number; readonly label: string } {
  if (level >= 50) return { priority: 3, label: 'error' };
  if (level >= 40) return { priority: 4, label: 'warn' };
  return level >= 30 ? { priority: 6, label: 'info' } : { priority: 7, label: 'debug' };
}
