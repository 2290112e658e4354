// How long a client waits after a kill -9: the socket is held, a new daemon starts at once, and a
// client that is there asks until it has an answer. Under a supervisor that holds the socket as
// systemd does, or, as installed, under systemd itself on a booted host.
//
//   node test/bench/wake.bench.ts [ROUNDS] [systemd]
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KmsClient } from '../support/client.ts';
import { Daemon } from '../support/daemon.ts';
import { TestHost } from '../support/host.ts';
import { clientOf, installedHost } from '../support/installed.ts';
import { median } from './table.ts';

interface Killed {
  /** Until the next: within a minute of a start, before-start first asks systemd how the last one ended. */
  readonly pauseMs: number;
  pid(): number;
  kill(pid: number): void;
  client(): KmsClient;
}

async function supervised(): Promise<Killed> {
  const host = await TestHost.provisioned();
  const daemon = await Daemon.supervise(host.configPath, host.socket, { restartMs: 0 });
  after(() => daemon.stop());
  return {
    pauseMs: 0,
    pid: () => daemon.pid,
    kill: (pid) => process.kill(pid, 'SIGKILL'),
    client: () => new KmsClient(host.socket),
  };
}

async function underSystemd(): Promise<Killed> {
  const host = await installedHost();
  await host.until('kleidi status');
  return {
    pauseMs: 61_000,
    pid: () => Number(host.sh('systemctl show -p MainPID --value kleidi')),
    kill: (pid) => host.sh(`kill -9 ${pid}`),
    client: () => clientOf(host),
  };
}

/** The kernel takes the connection at once; the answer comes when the new daemon serves. */
async function answeredMs(killed: Killed): Promise<number> {
  const before = killed.pid();
  killed.kill(before);
  const startMs = performance.now();
  const client = killed.client();
  await client.status();
  const ms = performance.now() - startMs;
  client.close();
  if (killed.pid() === before) throw new Error('the daemon was not started anew');
  return ms;
}

const [, , given = '20', how = 'supervised'] = process.argv;
const rounds = Number(given);
const killed = await (how === 'systemd' ? underSystemd() : supervised());
const times: number[] = [];
for (let round = 0; round < rounds; round += 1) {
  times.push(await answeredMs(killed));
  await sleep(killed.pauseMs);
}
const sorted = times.toSorted((a, b) => a - b);
process.stdout.write(
  `first answer after kill -9: median ${median(times).toFixed(0)} ms, most ${sorted.at(-1)?.toFixed(0)} ms, of ${rounds}, ${how}\n`,
);
