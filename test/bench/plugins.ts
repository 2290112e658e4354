// The plugins that are measured: kleidi as it is installed, the small Go plugin of this
// folder, each on a SoftHSM token of its own, and any other that serves at a socket.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { firstModule, softHsmSettings } from '../../src/softhsm.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';

export interface Plugin {
  readonly name: string;
  readonly socket: string;
  /** Whose processor time and memory are counted; none where it is not known. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/** Serves and drives; see go/main.go. */
export function benchProgram(): string {
  const build = fileURLToPath(new URL('go/build', import.meta.url));
  return execFileSync(build, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

export async function startKleidi(): Promise<Plugin> {
  const host = await TestHost.provisioned();
  const daemon = await host.serve();
  await daemon.event('serving');
  const stop = async (): Promise<void> => void (await daemon.stop());
  return { name: 'kleidi', socket: host.socket, pid: daemon.pid, stop };
}

const pin = '1234';
const label = 'kmsbench';

export async function startReference(program: string): Promise<Plugin> {
  const folder = temporaryFolder();
  const socket = join(folder, 'kms.sock');
  const conf = join(folder, 'softhsm2.conf');
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens);
  writeFileSync(conf, softHsmSettings(tokens));
  const env = { ...process.env, SOFTHSM2_CONF: conf, PIN: pin };
  const made = ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', pin];
  execFileSync('softhsm2-util', made, { env, stdio: 'ignore' });
  const served = ['serve', '-socket', socket, '-module', firstModule(), '-token', label];
  const child = spawn(program, served, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  for (let tries = 0; !existsSync(socket); tries += 1) {
    if (tries > 500 || child.exitCode !== null) throw new Error('the Go plugin does not serve');
    await sleep(20);
  }
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = (): Promise<void> => {
    child.kill();
    return ended;
  };
  return { name: 'go', socket, pid: child.pid, stop };
}

/** One that runs already, at this socket. */
export function otherPlugin(socket: string): Plugin {
  return { name: socket, socket, pid: undefined, stop: () => Promise.resolve() };
}
