// Whether kube-apiserver of this host was started before its flags were written. Its files
// say what will be; a unit that runs since before them has not read them.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Apiserver } from './installation.ts';
import { unitProperties } from './unitproperties.ts';

export type Pending =
  /** It does not run: its next start reads what is there. */
  | { readonly kind: 'stopped'; readonly service: string }
  | { readonly kind: 'older'; readonly service: string; readonly file: string };

/**
 * @param started for tests: when the unit was started, as Unix time in ms; 0: it does not
 *   run; undefined: systemd cannot be asked
 * @returns undefined: it runs on its files, takes them up by itself, or cannot be asked
 */
export function pendingRestart(
  { root, distribution, paths }: Apiserver,
  started = startedUnixMs,
): Pending | undefined {
  const { service, flagFile, readsChangesItself } = distribution;
  if (root !== '/' || service === undefined) return undefined;
  const sinceMs = started(service);
  if (sinceMs === undefined) return undefined;
  if (sinceMs === 0) return { kind: 'stopped', service };
  const files = readsChangesItself ? [flagFile] : [flagFile, paths.config];
  const file = files.find((path) => writtenMs(join(root, path)) > sinceMs);
  return file === undefined ? undefined : { kind: 'older', service, file };
}

export function pendingText(pending: Pending): string {
  return pending.kind === 'stopped'
    ? `${pending.service}.service does not run`
    : `${pending.service}.service runs since before ${pending.file} was written`;
}

/** 0 where there is none. */
function writtenMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** systemd's clock for this is monotonic: a clock that was set since changes nothing. */
function startedUnixMs(service: string): number | undefined {
  const text = unitProperties(service, 'ActiveState', 'ExecMainStartTimestampMonotonic');
  if (text === undefined) return undefined;
  if (!/^ActiveState=active$/m.test(text)) return 0;
  const micros = /^ExecMainStartTimestampMonotonic=(\d+)$/m.exec(text)?.[1];
  if (micros === undefined) return undefined;
  const nowMs = Number(process.hrtime.bigint() / 1_000_000n);
  return Date.now() - nowMs + Number(micros) / 1_000;
}
