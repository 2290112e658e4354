// Metrics as text: OpenMetrics 1.0 for who asks for it, and the older format of Prometheus
// (0.0.4) for all others, of which node_exporter's textfile collector reads nothing else.
// Names are those of OpenMetrics: a counter without its `_total`, an info without `_info`.
import type { Histogram } from '../kms/histogram.ts';

type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

export type Family = { readonly name: string; readonly help: string } & (
  | { readonly kind: 'gauge' | 'counter' | 'info'; readonly samples: readonly Sample[] }
  | {
      readonly kind: 'histogram';
      readonly series: readonly { readonly labels?: Labels; readonly histogram: Histogram }[];
    }
);

export type Format = 'openmetrics' | 'prometheus';

export const contentTypes: Readonly<Record<Format, string>> = {
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
};

const suffixes = { gauge: '', counter: '_total', info: '_info', histogram: '' } as const;

export function metricsText(families: readonly Family[], format: Format): string {
  const lines = families.flatMap((family) => [...head(family, format), ...samples(family)]);
  if (format === 'openmetrics') lines.push('# EOF');
  return `${lines.join('\n')}\n`;
}

function head({ name, kind, help }: Family, format: Format): string[] {
  if (format === 'prometheus') {
    const whole = name + suffixes[kind];
    const type = kind === 'info' ? 'gauge' : kind;
    return [`# HELP ${whole} ${escaped(help)}`, `# TYPE ${whole} ${type}`];
  }
  const unit = /_(seconds|bytes)$/.exec(name)?.[1];
  return [
    `# TYPE ${name} ${kind}`,
    ...(unit === undefined ? [] : [`# UNIT ${name} ${unit}`]),
    `# HELP ${name} ${escaped(help)}`,
  ];
}

function samples(family: Family): string[] {
  if (family.kind !== 'histogram') {
    const name = family.name + suffixes[family.kind];
    return family.samples.map(({ labels, value }) => `${name}${labelText(labels)} ${value}`);
  }
  return family.series.flatMap(({ labels, histogram }) =>
    histogramLines(family.name, labels, histogram),
  );
}

function histogramLines(name: string, labels: Labels | undefined, histogram: Histogram): string[] {
  const counts = histogram.cumulative();
  const bounds = [...histogram.boundsSeconds.map(boundText), '+Inf'];
  return [
    ...bounds.map(
      (le, i) => `${name}_bucket${labelText({ ...labels, le })} ${counts[i] ?? Number.NaN}`,
    ),
    `${name}_count${labelText(labels)} ${counts.at(-1) ?? 0}`,
    `${name}_sum${labelText(labels)} ${histogram.sumSeconds}`,
  ];
}

/** As OpenMetrics wants it (1.0), in both formats: it is a label, so a text. */
function boundText(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound);
}

function labelText(labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
