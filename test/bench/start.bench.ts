// How long kleidi takes from its exec to a socket that listens and to its first good answer,
// as a ratio to a Node that runs an empty program; in turn, so that what else the machine does
// is in both.
//
//   node test/bench/start.bench.ts [ROUNDS]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { TestHost } from '../support/host.ts';
import { program, serveFlags } from '../support/kleidi.ts';
import { median } from './table.ts';

const rounds = Number(process.argv[2] ?? 20);
const host = await TestHost.provisioned();
const serve = [
  ...serveFlags,
  program,
  'serve',
  '--config',
  host.configPath,
  '--socket',
  host.socket,
];

interface Start {
  readonly listeningMs: number;
  readonly servingMs: number;
}

async function emptyNodeMs(): Promise<number> {
  const startMs = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'exit');
  return performance.now() - startMs;
}

/** By the log lines, which come when it is so. */
async function startOfKleidi(): Promise<Start> {
  const startMs = performance.now();
  const child = spawn(process.execPath, serve, { stdio: ['ignore', 'pipe', 'inherit'] });
  const atMs = new Map<string | undefined, number>();
  for await (const line of createInterface({ input: child.stdout })) {
    const { event } = JSON.parse(line) as { event?: string };
    atMs.set(event, performance.now() - startMs);
    if (atMs.has('listening') && atMs.has('serving')) break;
  }
  const at = (event: string): number => atMs.get(event) ?? Number.NaN;
  const [listeningMs, servingMs] = [at('listening'), at('serving')];
  child.kill();
  await once(child, 'exit');
  return { listeningMs, servingMs };
}

const empty: number[] = [];
const starts: Start[] = [];
for (let round = 0; round < rounds; round += 1) {
  empty.push(await emptyNodeMs());
  starts.push(await startOfKleidi());
}
const emptyMs = median(empty);
const listeningMs = median(starts.map((start) => start.listeningMs));
const servingMs = median(starts.map((start) => start.servingMs));
for (const [what, ms] of Object.entries({ emptyMs, listeningMs, servingMs }))
  process.stdout.write(`${what} ${ms.toFixed(0)}, ${(ms / emptyMs).toFixed(1)} empty Nodes\n`);
