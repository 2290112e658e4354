// What a playbook costs its controller, and how long each of its plays takes: those of
// serial: 1 begin anew for each host.
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Controller } from '../support/ansible.ts';

export interface PlayTime {
  readonly name: string;
  /** How often it began. */
  readonly times: number;
  readonly seconds: number;
}

export interface Cost {
  readonly seconds: number;
  /** Of ansible-playbook and its children. */
  readonly cpuSeconds: number;
  readonly peakMb: number;
  readonly plays: readonly PlayTime[];
}

/** wait4(2): what the child has used, and those that it has waited for. */
const rusage = `import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(child.pid, 0)
with open(sys.argv[1], 'w') as out: print(used.ru_utime + used.ru_stime, file=out)
sys.exit(os.waitstatus_to_exitcode(status))`;

const everyMs = 500;

/** @param play by this controller, one playbook */
export async function costOf(controller: Controller, play: () => Promise<unknown>): Promise<Cost> {
  const out = join(controller.folder, 'cpu');
  const starts: { name: string; atMs: number }[] = [];
  let peak = (): number => 0;
  controller.watcher = {
    before: ['python3', '-c', rusage, out],
    started: (child) => {
      peak = watchTreeMb(child);
    },
    said: (text) => {
      const names = [...text.matchAll(/^PLAY \[(.*)\] /gm)].map(([, name = '']) => name);
      starts.push(...names.map((name) => ({ name, atMs: performance.now() })));
    },
  };
  const startMs = performance.now();
  await play();
  const endMs = performance.now();
  controller.watcher = undefined;
  const cpuSeconds = existsSync(out) ? Number(readFileSync(out, 'utf8')) : Number.NaN;
  const plays = playTimes(starts, endMs);
  return { seconds: (endMs - startMs) / 1000, cpuSeconds, peakMb: peak(), plays };
}

function playTimes(starts: readonly { name: string; atMs: number }[], endMs: number): PlayTime[] {
  const names = [...new Set(starts.map(({ name }) => name))];
  const each = starts.map(({ name, atMs }, i) => ({
    name,
    seconds: ((starts[i + 1]?.atMs ?? endMs) - atMs) / 1000,
  }));
  return names.map((name) => {
    const own = each.filter((one) => one.name === name);
    const seconds = own.reduce((sum, one) => sum + one.seconds, 0);
    return { name, times: own.length, seconds };
  });
}

/** Memory of a process and all below it; what they share is counted once (Pss). */
function watchTreeMb(child: ChildProcess): () => number {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, treeMb(child.pid ?? 0));
  }, everyMs);
  child.once('exit', () => clearInterval(timer));
  return () => peak;
}

function treeMb(root: number): number {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).split('\n');
  const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number));
  const tree = [root];
  for (const pid of tree) tree.push(...pairs.filter((p) => p[1] === pid).map((p) => p[0] ?? 0));
  return tree.reduce((sum, pid) => sum + pssMb(pid), 0);
}

function pssMb(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
