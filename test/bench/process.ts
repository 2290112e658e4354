// What a process has used so far, seen from outside (proc_pid_stat(5)).
import { readFileSync } from 'node:fs';

/** USER_HZ, which Linux gives to all programs on amd64 and arm64. */
const ticksPerSecond = 100;

/** Of all its threads, in user and in kernel mode. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may have spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}
