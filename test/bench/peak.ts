// The most memory that a process has used so far (proc_pid_status(5), VmHWM),
// watched from outside until it ends.
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

const everyMs = 20;

export function residentMb(pid: number, field: 'VmHWM' | 'VmRSS'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Call the result after the end of the child. */
export function watchPeakMb(child: ChildProcess): () => number {
  let peak = 0;
  const look = (): void => {
    peak = Math.max(peak, residentMb(child.pid ?? 0, 'VmHWM'));
  };
  const timer = setInterval(look, everyMs);
  child.once('exit', () => clearInterval(timer));
  return () => peak;
}
