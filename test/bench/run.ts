// kleidi against the Go plugin of this folder, or against any other: each load in turn on one
// and the other (A B A B), so that what else the machine does is in both. Rows of JSON go to a
// file, a table of medians and ratios to the terminal.
//
//   npm run bench -- [--rounds 5] [--scale 1] [--only TEXT] [--against SOCKET] [--out FILE]
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { after } from 'node:test';
import { parseArgs } from 'node:util';
import { allLoads, drive, type Row } from './loads.ts';
import { benchProgram, otherPlugin, type Plugin, startKleidi, startReference } from './plugins.ts';
import { clientBound, tableOf } from './table.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    against: { type: 'string' },
    out: { type: 'string', default: 'bench.json' },
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

const program = benchProgram();
const kleidi = await startKleidi();
const other: Plugin =
  values.against === undefined ? await startReference(program) : otherPlugin(values.against);
after(() => Promise.all([kleidi.stop(), other.stop()]));

const about = machine();
say(JSON.stringify(about));
const rows: Row[] = [];
for (const load of allLoads(Number(values.scale)).filter(({ name }) =>
  name.includes(values.only),
)) {
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const plugin of [kleidi, other]) rows.push(drive(program, plugin, load, round));
  }
  say(`measured: ${load.name}`);
}
writeFileSync(values.out, JSON.stringify({ about, rows }, null, 1));
say(tableOf(rows, kleidi.name, other.name));
const failed = rows.filter((row) => row.failed > 0);
for (const { load, plugin, firstError } of failed)
  say(`failed: ${load} (${plugin}): ${firstError}`);
const bound = clientBound(rows, availableParallelism());
if (bound.length > 0) say(`the client was the limit in: ${bound.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
