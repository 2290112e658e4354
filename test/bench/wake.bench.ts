// How long a client waits after a kill -9: the socket is held, as systemd holds it, a new
// daemon starts at once, and a client that is there asks until it has an answer.
//
//   node test/bench/wake.bench.ts [ROUNDS]
import { after } from 'node:test';
import { KmsClient } from '../support/client.ts';
import { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';
import { median } from './table.ts';

const rounds = Number(process.argv[2] ?? 20);
const host = await TestHost.provisioned();
const daemon = await Daemon.supervise(host.configPath, host.socket, { restartMs: 0 });
after(() => daemon.stop());

/** The kernel takes the connection at once; the answer comes when the new daemon serves. */
async function answeredMs(): Promise<number> {
  const before = daemon.pid;
  const startMs = performance.now();
  process.kill(before, 'SIGKILL');
  const client = new KmsClient(host.socket);
  await client.status();
  const ms = performance.now() - startMs;
  client.close();
  if (daemon.pid === before) throw new Error('the daemon was not started anew');
  return ms;
}

const times: number[] = [];
for (let round = 0; round < rounds; round += 1) times.push(await answeredMs());
const sorted = times.toSorted((a, b) => a - b);
process.stdout.write(
  `first answer after kill -9: median ${median(times).toFixed(0)} ms, most ${sorted.at(-1)?.toFixed(0)} ms, of ${rounds}\n`,
);
