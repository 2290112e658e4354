// Whether a kube-apiserver before 1.34, which has no hash of what it runs on, runs on the
// EncryptionConfiguration on disk: by its start, its last reload, and the time since.
import type { LiveMetrics } from './metrics.ts';

/** It looks at the file each minute: after two it has found what is there. */
const lookedAtMs = 130_000;
/** process_start_time_seconds counts from the boot of the host, in whole seconds. */
const startErrorMs = 2_000;

interface Written {
  /** When the file was, as Unix time. */
  readonly writtenMs: number;
  /** Whether it reads a changed file by itself. */
  readonly reloads: boolean;
  readonly nowMs: number;
}

/**
 * Of a file whose contents are the ones that it has, it says nothing: no reload is no sign
 * that it runs on another one.
 */
export function runsSinceThen(
  { startedUnixMs, lastReload }: Pick<LiveMetrics, 'startedUnixMs' | 'lastReload'>,
  { writtenMs, reloads, nowMs }: Written,
): 'yes' | 'no' | 'cannot-tell' {
  if (startedUnixMs === undefined) return 'cannot-tell';
  if (startedUnixMs > writtenMs) return 'yes';
  if (lastReload?.isGood === false && lastReload.unixMs >= writtenMs) return 'no';
  if (reloads) return nowMs > writtenMs + lookedAtMs ? 'yes' : 'cannot-tell';
  return startedUnixMs > writtenMs - startErrorMs ? 'cannot-tell' : 'no';
}
