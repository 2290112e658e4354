// The plugins that are measured: kleidi as it is installed, the small Go plugin of this
// folder, each on a SoftHSM token of its own, and any other that serves at a socket.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { firstModule, softHsmSettings } from '../../src/softhsm.ts';
import { FaultModule } from '../support/faultmodule.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { nodeFlagsIn, program, serveFlags } from '../support/kleidi.ts';

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

/** The PKCS#11 module that plugins load, and what it needs. */
export interface Hsm {
  readonly module: string;
  readonly env: NodeJS.ProcessEnv;
}

export function softHsm(): Hsm {
  return { module: firstModule(), env: {} };
}

/** As an HSM that is asked over a network: SoftHSM, later. */
export function slowHsm(delayMs: number): Hsm {
  const faults = new FaultModule();
  faults.plan(`C_Encrypt delay ${delayMs}`, `C_Decrypt delay ${delayMs}`);
  return { module: faults.path, env: faults.env };
}

/** @param folder of the tree whose built program serves; this one's where there is none */
export async function startKleidi(driver: string, hsm: Hsm, folder?: string): Promise<Plugin> {
  Object.assign(process.env, hsm.env);
  const host = await TestHost.provisioned({ pkcs11: { module: hsm.module } });
  const built = folder === undefined ? program : join(folder, 'dist/kleidi.js');
  const flags = folder === undefined ? serveFlags : flagsOf(folder);
  const args = [built, 'serve', '--config', host.configPath, '--socket', host.socket];
  const name = folder ?? 'kleidi';
  const command = [process.execPath, ...flags, ...args];
  return started({ driver, name, socket: host.socket, command });
}

function flagsOf(folder: string): string[] {
  return nodeFlagsIn(readFileSync(join(folder, 'systemd/kleidi.service'), 'utf8'));
}

const pin = '1234';
const label = 'kmsbench';

export async function startReference(driver: string, hsm: Hsm): Promise<Plugin> {
  const folder = temporaryFolder();
  const socket = join(folder, 'kms.sock');
  const conf = join(folder, 'softhsm2.conf');
  const tokens = join(folder, 'tokens');
  mkdirSync(tokens);
  writeFileSync(conf, softHsmSettings(tokens));
  const env = { ...process.env, ...hsm.env, SOFTHSM2_CONF: conf, PIN: pin };
  const made = ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', pin];
  execFileSync('softhsm2-util', made, { env, stdio: 'ignore' });
  const args = ['serve', '-socket', socket, '-module', hsm.module, '-token', label];
  return started({ driver, name: 'go', socket, command: [driver, ...args], env });
}

/** Bare node:http2, under the flags of the unit. */
export async function startFloor(driver: string): Promise<Plugin> {
  const socket = join(temporaryFolder(), 'kms.sock');
  const source = fileURLToPath(new URL('floor.ts', import.meta.url));
  const command = [process.execPath, ...serveFlags, source, socket];
  return started({ driver, name: 'node:http2', socket, command });
}

interface Start {
  readonly driver: string;
  readonly name: string;
  readonly socket: string;
  readonly command: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Until it answers a first call. */
async function started({ driver, name, socket, command, env }: Start): Promise<Plugin> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const asked = ['load', '-socket', socket, '-op', 'encrypt', '-calls', '1'];
  const answers = (): boolean =>
    existsSync(socket) &&
    spawnSync(driver, asked, { encoding: 'utf8' }).stdout.includes('"failed":0');
  for (let tries = 0; !answers(); tries += 1) {
    if (tries > 500 || child.exitCode !== null) throw new Error(`${name} does not serve`);
    await sleep(20);
  }
  const stop = (): Promise<void> => {
    child.kill();
    return ended;
  };
  return { name, socket, pid: child.pid, stop };
}

/** One that runs already, at this socket. */
export function otherPlugin(socket: string): Plugin {
  return { name: socket, socket, pid: undefined, stop: () => Promise.resolve() };
}
