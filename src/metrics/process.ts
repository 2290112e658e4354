// The process itself: build, start, and what it uses.
import { readdirSync } from 'node:fs';
import type { KnownState } from '../kms/state.ts';
import type { LoopLag } from './looplag.ts';
import type { Family } from './openmetrics.ts';

export function processFamilies(
  { version, startedUnixMs }: KnownState,
  previousEnd: string,
  lag: LoopLag,
): Family[] {
  const { user, system } = process.cpuUsage();
  return [
    {
      kind: 'info',
      name: 'kleidi_build',
      help: 'The version of kleidi and of its Node.js.',
      samples: [{ labels: { version, node: process.versions.node }, value: 1 }],
    },
    {
      kind: 'info',
      name: 'kleidi_previous_end',
      help: 'How the process before this one ended.',
      samples: [{ labels: { reason: previousEnd }, value: 1 }],
    },
    ...gauges([
      ['kleidi_start_time_seconds', 'When this process has started.', startedUnixMs / 1000],
      ['kleidi_resident_memory_bytes', 'Memory of the process.', process.memoryUsage.rss()],
      ['kleidi_open_fds', 'Open file descriptors.', openFds()],
    ]),
    {
      kind: 'counter',
      name: 'kleidi_cpu_seconds',
      help: 'Time on processors, of all threads.',
      samples: [{ value: (user + system) / 1e6 }],
    },
    {
      kind: 'histogram',
      name: 'kleidi_event_loop_lag_seconds',
      help: 'How late a timer of every 100 ms comes: what holds it up holds calls up too.',
      series: [{ histogram: lag.histogram }],
    },
  ];
}

function gauges(list: readonly (readonly [string, string, number | undefined])[]): Family[] {
  return list.map(([name, help, value]) => ({
    ...{ kind: 'gauge', name, help },
    samples: value === undefined ? [] : [{ value }],
  }));
}

/** One of them reads the folder. */
function openFds(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return undefined;
  }
}
