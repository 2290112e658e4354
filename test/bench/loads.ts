// What is asked of a plugin, over one connection, and what comes of it.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { residentMb } from './peak.ts';
import type { Plugin } from './plugins.ts';

export interface Load {
  readonly name: string;
  readonly calls: number;
  /** Of `kmsbench load`. */
  readonly flags: readonly string[];
}

/** As go/load.go prints it. */
interface Report {
  readonly calls: number;
  readonly failed: number;
  readonly seconds: number;
  readonly callsPerSecond: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
  readonly clientCpuSeconds: number;
  readonly pluginCpuSeconds: number;
  readonly firstError?: string;
}

export interface Row extends Report {
  readonly load: string;
  readonly plugin: string;
  readonly round: number;
  /** Of the plugin; none where its process is not known. */
  readonly cpuUsPerCall: number | undefined;
  readonly rssMb: number | undefined;
  /** Of its whole life so far. */
  readonly peakMb: number | undefined;
}

const ops = ['decrypt', 'encrypt', 'status'] as const;

function closed(op: string, callers: number, calls: number): Load {
  const flags = ['-op', op, '-callers', String(callers)];
  return { name: `${callers} ${op}`, calls, flags };
}

function open(op: string, rate: number, calls: number): Load {
  return { name: `${op} at ${rate}/s`, calls, flags: ['-op', op, '-rate', String(rate)] };
}

/** An API server that starts reads its Secrets: each has a seed of its own at the worst. */
function storm(seeds: number): Load {
  const flags = ['-op', 'decrypt', '-callers', '8', '-distinct', String(seeds)];
  return { name: `storm of ${seeds}`, calls: seeds, flags };
}

function variant(load: Load, what: string, ...flags: readonly string[]): Load {
  return { ...load, name: `${load.name} ${what}`, flags: [...load.flags, ...flags] };
}

/** Not counted: V8 compiles what is called often, which the first load would pay for. */
export const warmUps: readonly Load[] = ops.map((op) => closed(op, 8, 20_000));

/** @param scale of the number of calls; 1 takes one or two seconds for each load */
export function allLoads(scale: number): Load[] {
  const calls = (count: number): number => Math.max(100, Math.round(count * scale));
  const eight = closed('decrypt', 8, calls(15_000));
  return [
    ...ops.map((op) => closed(op, 1, calls(4_000))),
    ...ops.map((op) => closed(op, 8, calls(15_000))),
    ...ops.map((op) => closed(op, 64, calls(30_000))),
    ...[200, 1_000, 3_000].map((rate) => open('decrypt', rate, calls(rate * 2))),
    storm(1_000),
    storm(10_000),
    variant(eight, 'of 512 bytes', '-payload', '512'),
    variant(eight, 'beside 400 idle connections', '-idle', '400'),
  ];
}

const run = promisify(execFile);

/** @throws Error where the plugin cannot be driven at all; calls that fail are counted */
export async function drive(
  driver: string,
  plugin: Plugin,
  load: Load,
  round: number,
): Promise<Row> {
  const { pid } = plugin;
  const whose = pid === undefined ? [] : ['-pid', String(pid)];
  const calls = ['-calls', String(load.calls)];
  const args = ['load', '-socket', plugin.socket, ...calls, ...whose, ...load.flags];
  const { stdout } = await run(driver, args);
  const report = JSON.parse(stdout) as Report;
  return {
    ...report,
    load: load.name,
    plugin: plugin.name,
    round,
    cpuUsPerCall: pid === undefined ? undefined : (report.pluginCpuSeconds / report.calls) * 1e6,
    rssMb: pid === undefined ? undefined : residentMb(pid, 'VmRSS'),
    peakMb: pid === undefined ? undefined : residentMb(pid, 'VmHWM'),
  };
}
