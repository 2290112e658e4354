// A TPM 2.0 for this test file: swtpm, and tpm2-abrmd on a bus of its own as the resource manager
// that a kernel would be. What reaches it inherits the bus by the environment.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstTpmModule } from '../../src/tpmmodule.ts';
import { temporaryFolder } from './folder.ts';
import { missingTool, skipReason } from './skip.ts';

const busVariable = 'DBUS_SESSION_BUS_ADDRESS';

/** For the configuration of a host, beside the places of its store and its PIN. */
export const tpmVariables = [busVariable];
export const tcti = 'tabrmd:bus_type=session';

export function missingTpm(): string | false {
  const missing = missingTool(
    'swtpm',
    'tpm2-abrmd',
    'tpm2_ptool',
    'tpm2_createprimary',
    'dbus-daemon',
  );
  if (missing !== false || existsSync(firstTpmModule())) return missing;
  return skipReason('needs the module of tpm2-pkcs11');
}

export class SimulatedTpm {
  readonly #folder = temporaryFolder();
  readonly #processes: ChildProcess[] = [];

  /** Ended with the test file. */
  static async start(): Promise<SimulatedTpm> {
    const tpm = new SimulatedTpm();
    after(() => tpm.#stop());
    mkdirSync(tpm.#at('chip'));
    await tpm.#bus();
    await tpm.#power();
    return tpm;
  }

  /** What a new board has: a TPM that knows nothing. */
  async replace(): Promise<void> {
    await this.#stop(1);
    mkdirSync(this.#at('new'));
    await this.#power('new');
  }

  #at(name: string): string {
    return join(this.#folder, name);
  }

  async #bus(): Promise<void> {
    const address = `unix:path=${this.#at('bus')}`;
    this.#spawn('dbus-daemon', ['--session', '--nofork', '--nopidfile', `--address=${address}`]);
    await appears(this.#at('bus'));
    process.env[busVariable] = address;
  }

  async #power(chip = 'chip'): Promise<void> {
    const [socket, control] = [this.#at(`${chip}.sock`), this.#at(`${chip}.sock.ctrl`)];
    this.#spawn('swtpm', [
      ...['socket', '--tpm2', '--tpmstate', `dir=${this.#at(chip)}`],
      ...['--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${control}`],
      ...['--flags', 'startup-clear,not-need-init'],
    ]);
    await appears(socket);
    await appears(control);
    this.#spawn('tpm2-abrmd', ['--session', '--allow-root', `--tcti=swtpm:path=${socket}`]);
    await answers();
  }

  #spawn(command: string, args: readonly string[]): void {
    this.#processes.push(spawn(command, args, { stdio: 'ignore' }));
  }

  /** @param keep so many of the first */
  async #stop(keep = 0): Promise<void> {
    for (const process of this.#processes.splice(keep).reverse()) {
      const ended = new Promise((resolve) => process.once('exit', resolve));
      if (process.exitCode !== null || process.signalCode !== null) continue;
      process.kill('SIGKILL');
      await ended;
    }
  }
}

async function appears(path: string): Promise<void> {
  for (let i = 0; i < 500 && !existsSync(path); i += 1) await sleep(20);
}

async function answers(): Promise<void> {
  for (let i = 0; i < 100; i += 1) {
    const env = { ...process.env, TPM2TOOLS_TCTI: tcti };
    const asked = spawn('tpm2_getcap', ['properties-fixed'], { stdio: 'ignore', env });
    if ((await new Promise((resolve) => asked.once('exit', resolve))) === 0) return;
    await sleep(50);
  }
  throw new Error('the simulated TPM does not answer');
}
