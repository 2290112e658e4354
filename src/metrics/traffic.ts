// What clients ask for, and what comes of it.
import type { Traffic } from '../kms/server.ts';
import type { Family } from './openmetrics.ts';

export function callFamilies({ counts, connections, inWork }: Traffic): Family[] {
  const rpcs = [...counts.byRpc];
  return [
    {
      kind: 'counter',
      name: 'kleidi_calls',
      help: 'Calls that were answered, by RPC and gRPC code.',
      samples: rpcs.flatMap(([rpc, { byCode }]) =>
        [...byCode].map(([code, value]) => ({ labels: { rpc, code }, value })),
      ),
    },
    {
      kind: 'histogram',
      name: 'kleidi_call_duration_seconds',
      help: 'From the whole request to its answer, refusals too, by RPC.',
      series: rpcs.map(([rpc, { duration }]) => ({ labels: { rpc }, histogram: duration })),
    },
    {
      kind: 'gauge',
      name: 'kleidi_calls_in_work',
      help: 'Encrypt and Decrypt calls that wait for the token or are in it.',
      samples: [{ value: inWork }],
    },
    {
      kind: 'counter',
      name: 'kleidi_calls_cut',
      help: 'Calls refused or cut because clients ask for too much, by reason.',
      samples: [...counts.bounded].map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      kind: 'gauge',
      name: 'kleidi_connections',
      help: 'Open connections of clients.',
      samples: [{ value: connections }],
    },
    {
      kind: 'counter',
      name: 'kleidi_connections_displaced',
      help: 'Connections that made room for another one at the limit.',
      samples: [{ value: counts.displaced }],
    },
  ];
}
