// A picture of what run.ts has measured: for each load the ratio kleidi / other plugin, as bars.
//
//   node test/bench/plot.ts BENCH.json > docs/performance.svg
import { readFileSync } from 'node:fs';
import type { Row } from './loads.ts';
import { type Figure, figureOf } from './table.ts';

const barHeight = 14;
const rowHeight = 44;
const left = 250;
const width = 760;
/** Ratios beyond it end at the edge, with their number. */
const mostRatio = 3;
const shown: readonly (readonly [Figure, string, string])[] = [
  ['callsPerSecond', 'calls a second (longer is better)', '#2b6cb0'],
  ['cpuUsPerCall', 'processor time a call (shorter is better)', '#c05621'],
];

const at = (ratio: number): number =>
  left + (Math.min(ratio, mostRatio) / mostRatio) * (width - left - 60);

function text(x: number, y: number, words: string, anchor = 'start'): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
}

function bar(ratio: number, y: number, color: string): string {
  const long = (at(ratio) - left).toFixed(0);
  const rectangle = `<rect x="${left}" y="${y}" width="${long}" height="${barHeight}" fill="${color}"/>`;
  return rectangle + text(at(ratio) + 6, y + barHeight - 3, ratio.toFixed(2));
}

function rowOf(rows: readonly Row[], load: string, first: string, second: string, y: number) {
  const bars = shown.map(([figure, , color], i) => {
    const ratio = figureOf(rows, load, first, figure) / figureOf(rows, load, second, figure);
    return Number.isFinite(ratio) ? bar(ratio, y + i * (barHeight + 2), color) : '';
  });
  return [text(left - 10, y + barHeight + 4, load, 'end'), ...bars].join('\n');
}

function pictureOf(rows: readonly Row[]): string {
  const loads = [...new Set(rows.map(({ load }) => load))];
  const [first = '', second = ''] = [...new Set(rows.map(({ plugin }) => plugin))];
  const top = 60;
  const height = top + loads.length * rowHeight + 10;
  const legend = shown.map(([, words, color], i) => {
    const y = 12 + i * 18;
    return `<rect x="${left}" y="${y}" width="12" height="12" fill="${color}"/>${text(left + 18, y + 11, `${first} / ${second}: ${words}`)}`;
  });
  const one = `<line x1="${at(1)}" x2="${at(1)}" y1="${top - 8}" y2="${height - 6}" stroke="#555" stroke-dasharray="4 3"/>`;
  const bars = loads.map((load, i) => rowOf(rows, load, first, second, top + i * rowHeight));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...[...legend, one, ...bars],
    '</svg>',
  ].join('\n');
}

const { rows } = JSON.parse(readFileSync(process.argv[2] ?? 'bench.json', 'utf8')) as {
  rows: Row[];
};
process.stdout.write(`${pictureOf(rows)}\n`);
