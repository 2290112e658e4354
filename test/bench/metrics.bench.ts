// What counting costs a call, and what one text of the metrics costs.
//
//   node --test test/bench/metrics.bench.ts
import { test } from 'node:test';
import { CallCounts } from '../../src/kms/callcounts.ts';
import { Serving } from '../../src/kms/serving.ts';
import { metricFamilies } from '../../src/metrics/families.ts';
import { LoopLag } from '../../src/metrics/looplag.ts';
import { metricsText } from '../../src/metrics/openmetrics.ts';
import { ProviderCounts } from '../../src/providers/counts.ts';

const calls = 1_000_000;
const texts = 1_000;

test('counting a call, and rendering', (t) => {
  const counts = new CallCounts();
  const count = (): void => {
    for (let i = 0; i < calls; i += 1) counts.answered('Encrypt', 'OK', (i % 8192) / 1024);
  };
  count();
  let startMs = performance.now();
  count();
  t.diagnostic(`a call: ${(((performance.now() - startMs) * 1e6) / calls).toFixed(0)} ns`);
  const lag = new LoopLag();
  const traffic = () => ({ counts, connections: 1, inWork: 0 });
  const serving = new Serving();
  startMs = performance.now();
  for (let i = 0; i < texts; i += 1)
    metricsText(
      metricFamilies({ serving, counts: new ProviderCounts(), previousEnd: 'none', traffic }, lag),
      'openmetrics',
    );
  t.diagnostic(`a text: ${((performance.now() - startMs) / texts).toFixed(2)} ms`);
  lag.stop();
});
