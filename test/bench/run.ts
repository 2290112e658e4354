// kleidi against the Go plugin of this folder, against one that serves at a socket, or against
// another tree of kleidi that is built (two commits), or what node:http2 alone costs (floor): each load in turn on one and the other
// (A B A B), so that what else the machine does is in both. Rows of JSON go to a file, a table of
// medians and ratios to the terminal.
//
//   npm run bench -- [--rounds 5] [--scale 1] [--only TEXT] [--against SOCKET|FOLDER|floor]
//     [--out FILE]
//     [--hsm-delay-ms N]   each encryption and decryption in the token takes so much longer
import { statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { allLoads, drive, type Load, type Row, warmUps } from './loads.ts';
import {
  benchProgram,
  otherPlugin,
  type Plugin,
  slowHsm,
  softHsm,
  startFloor,
  startKleidi,
  startReference,
} from './plugins.ts';
import { clientBound, tableOf } from './table.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    against: { type: 'string' },
    out: { type: 'string', default: 'bench.json' },
    'hsm-delay-ms': { type: 'string' },
  },
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What the figures hang on beside the two plugins. */
function machine(): object {
  return {
    processors: availableParallelism(),
    model: cpus()[0]?.model ?? '',
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0],
  };
}

/** Both have run for a while before the first round. */
async function measure(loads: readonly Load[]): Promise<Row[]> {
  const rows: Row[] = [];
  const both = [kleidi, other];
  for (const load of warmUps) for (const plugin of both) await drive(driver, plugin, load, 0);
  for (const load of loads) {
    for (const plugin of both) await drive(driver, plugin, load, 0);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const plugin of both) rows.push(await drive(driver, plugin, load, round));
    }
    say(`measured: ${load.name}`);
  }
  return rows;
}

function theOther(): Promise<Plugin> | Plugin {
  const { against } = values;
  if (against === undefined) return startReference(driver, hsm);
  if (against === 'floor') return startFloor(driver);
  const isTree = statSync(against).isDirectory();
  return isTree ? startKleidi(driver, hsm, against) : otherPlugin(against);
}

const driver = benchProgram();
const delayMs = values['hsm-delay-ms'];
const hsm = delayMs === undefined ? softHsm() : slowHsm(Number(delayMs));
const kleidi = await startKleidi(driver, hsm);
const other = await theOther();

const about = machine();
say(JSON.stringify(about));
const loads = allLoads(Number(values.scale)).filter(({ name }) => name.includes(values.only));
const rows = await measure(loads).finally(() => Promise.all([kleidi.stop(), other.stop()]));
writeFileSync(values.out, JSON.stringify({ about, rows }, null, 1));
say(tableOf(rows, kleidi.name, other.name));
const failed = rows.filter((row) => row.failed > 0);
for (const { load, plugin, firstError } of failed)
  say(`failed: ${load} (${plugin}): ${firstError}`);
const bound = clientBound(rows, availableParallelism());
if (bound.length > 0) say(`the client was the limit in: ${bound.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
