// What the board shows of three hosts through a rotation, a damaged token and an outage:
// docs/board.svg, drawn by gnuplot from the queries of the board.
//
//   node --test test/bench/board.bench.ts      (as root; needs prometheus, gnuplot and Go)
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { boardPanels, filledQuery } from '../support/board.ts';
import { createOnAll, promoteLike, promoteOnFirst } from '../support/clusterceremony.ts';
import { hostAddresses } from '../support/clusternetwork.ts';
import { temporaryFolder } from '../support/folder.ts';
import { Load } from '../support/kubeclient.ts';
import { type Curve, damageToken, MonitoredFleet } from '../support/monitoredfleet.ts';

const out = 'docs/board.svg';
const shown = [
  'Rotation: generation of the ring',
  'KEKs by state',
  'Calls a second',
  'Latency, p99',
  'Since the token was verified',
  'Hosts that do not serve',
];
const calmMs = 15_000;

/** What an operator has to do with, from begin to end. */
async function story({ hosts, ceremony }: MonitoredFleet): Promise<void> {
  const [first, second, third] = hosts;
  if (first === undefined || second === undefined || third === undefined) throw new Error('hosts');
  await sleep(calmMs);
  const { fp } = createOnAll(ceremony);
  const promoted = promoteOnFirst(first, fp);
  await sleep(calmMs / 2);
  promoteLike(second, fp, promoted);
  await sleep(calmMs / 2);
  promoteLike(third, fp, promoted);
  await sleep(calmMs);
  const undo = damageToken(first);
  await sleep(calmMs);
  undo();
  await sleep(calmMs);
  third.sh('systemctl stop kleidi.socket kleidi.service');
  await sleep(calmMs);
  third.sh('systemctl start kleidi.socket kleidi.service');
  await third.until('kleidi status');
  await sleep(calmMs);
}

function legendOf({ metric }: Curve, format: string): string {
  const text = format.replaceAll(/{{(\w+)}}/g, (_, label: string) => metric[label] ?? '');
  return hostAddresses.reduce(
    (name, address, index) => name.replace(`${address}:9464`, `cp${index + 1}`),
    text,
  );
}

/** A line is broken where there is no value. */
function rowsOf({ values }: Curve, startS: number): string[] {
  return values.flatMap(([time, value], index) => {
    const isGap = time - (values[index - 1]?.[0] ?? time) > 2;
    return [...(isGap ? [''] : []), `${time - startS} ${value}`];
  });
}

function draw(fleet: MonitoredFleet, startS: number, endS: number): void {
  const folder = temporaryFolder();
  const lines = [
    `set terminal svg size 1200,900 background '#ffffff' font 'sans-serif,11'`,
    `set output '${out}'`,
    'set multiplot layout 3,2',
    `set xlabel 'seconds'`,
    'set key outside bottom center horizontal',
    'set grid',
    'set yrange [0:*]',
  ];
  for (const [index, title] of shown.entries()) {
    const panel = boardPanels().find((each) => each.title === title);
    const curves = (panel?.targets ?? []).flatMap(({ expr, legendFormat }) =>
      fleet.range(filledQuery(expr, '5s'), startS, endS).map((curve) => {
        return { name: legendOf(curve, legendFormat) || 'hosts', curve };
      }),
    );
    const busy = curves.filter(({ curve }) => curve.values.some(([, value]) => Number(value) > 0));
    const plots = busy.map(({ name, curve }, number) => {
      const file = join(folder, `${index}-${number}`);
      writeFileSync(file, rowsOf(curve, startS).join('\n'));
      return `'${file}' using 1:2 with lines lw 2 title '${name.replaceAll("'", '')}'`;
    });
    lines.push(`set title '${title}'`, `plot ${plots.length > 0 ? plots.join(', ') : '0'}`);
  }
  execFileSync('gnuplot', { input: lines.join('\n') });
}

test('the board through a rotation, a damaged token and an outage', async () => {
  const fleet = await MonitoredFleet.boot('verifier:\n  intervalMs: 2000\n');
  // By a process of its own: the commands of the story hold this one up.
  const loads = await Promise.all(
    fleet.hosts.map((host) => Load.start(host.outside('/run/kleidi/kms.sock'), 1, { pauseMs: 50 })),
  );
  const startS = Math.floor(Date.now() / 1000);
  await story(fleet);
  await Promise.all(loads.map((load) => load.stop()));
  draw(fleet, startS, Math.floor(Date.now() / 1000));
});
