// The alerts that the packages ship, as they are written.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { rulesPath } from './alertfleet.ts';

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export function alertRules(): readonly AlertRule[] {
  const file = parse(readFileSync(rulesPath, 'utf8')) as { groups: { rules: AlertRule[] }[] };
  return file.groups.flatMap(({ rules }) => rules);
}

/** Names of samples in its expression, without those that Prometheus makes itself. */
export function samplesIn({ expr }: AlertRule): readonly string[] {
  return [...new Set([...expr.matchAll(/\bkleidi_\w+/g)].map(([name]) => name))];
}

/** `kleidi_calls_total` is documented as the counter `kleidi_calls`. */
export function metricOf(sample: string): string {
  return sample.replace(/_(?:total|info|bucket|count|sum)$/, '');
}
