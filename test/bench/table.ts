// Rows of a benchmark as one table: medians over the rounds, and ratios side by side.
import type { Row } from './loads.ts';

export type Figure = 'callsPerSecond' | 'p50Us' | 'p99Us' | 'p999Us' | 'cpuUsPerCall' | 'peakMb';

const figures: readonly (readonly [Figure, string])[] = [
  ['callsPerSecond', 'calls/s'],
  ['p50Us', 'p50 µs'],
  ['p99Us', 'p99 µs'],
  ['p999Us', 'p99.9 µs'],
  ['cpuUsPerCall', 'CPU µs/call'],
  ['peakMb', 'peak MB'],
];

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Of this load and plugin, over the rounds; NaN where it was not measured. */
export function figureOf(
  rows: readonly Row[],
  load: string,
  plugin: string,
  figure: Figure,
): number {
  const own = rows.filter((row) => row.load === load && row.plugin === plugin);
  return median(own.map((row) => row[figure] ?? Number.NaN));
}

/** The first plugin against the second: figure of the second, and the ratio first / second. */
export function tableOf(rows: readonly Row[], first: string, second: string): string {
  const loads = [...new Set(rows.map((row) => row.load))];
  const head = ['load', ...figures.flatMap(([, title]) => [`${second} ${title}`, 'ratio'])];
  const lines = loads.map((load) => {
    const cells = figures.flatMap(([figure]) => {
      const other = figureOf(rows, load, second, figure);
      const ratio = figureOf(rows, load, first, figure) / other;
      return [Number.isFinite(other) ? other.toFixed(0) : '-', ratio.toFixed(2)];
    });
    return [load, ...cells];
  });
  return [head, head.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

/** Loads in which the client took most of the machine: their calls/s are its own. */
export function clientBound(rows: readonly Row[], processors: number): string[] {
  const bound = rows.filter(({ clientCpuSeconds, seconds, calls, cpuUsPerCall }) => {
    const own = ((cpuUsPerCall ?? 0) * calls) / 1e6;
    return clientCpuSeconds > own && clientCpuSeconds + own > 0.95 * processors * seconds;
  });
  return [...new Set(bound.map(({ load, plugin }) => `${load} (${plugin})`))];
}
