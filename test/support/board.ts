// The board for Grafana, as Grafana fills its queries in for a fleet under test.
import { readFileSync } from 'node:fs';

export interface Panel {
  readonly title: string;
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

export function boardPanels(): readonly Panel[] {
  const text = readFileSync('packaging/monitoring/kleidi.board.json', 'utf8');
  return (JSON.parse(text) as { panels: readonly Panel[] }).panels;
}

/** @param window what Grafana has for the interval of a rate */
export function filledQuery(expression: string, window = '30s'): string {
  return expression
    .replaceAll('$job', 'kleidi')
    .replaceAll('$cluster', '.*')
    .replaceAll('$__rate_interval', window);
}
