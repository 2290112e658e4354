// Other work on the machine, so that a verdict that hangs on its speed shows.
import { spawn } from 'node:child_process';

/** Keeps so many processors busy until this process ends. */
export function keepBusy(loops: number): void {
  for (let i = 0; i < loops; i += 1) {
    const parent = `while kill -0 ${process.pid} 2>/dev/null; do n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done; done`;
    spawn('sh', ['-c', parent], { stdio: 'ignore' }).unref();
  }
}
