// A whole machine: QEMU with a kernel of its own and a TPM 2.0 that swtpm simulates, so that
// there is a /dev/tpmrm0. Root is asked by ssh. A boot takes a minute without KVM.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KmsClient } from './client.ts';
import { temporaryFolder } from './folder.ts';
import { madeOnce } from './madeonce.ts';
import { baseTree, type CommandResult, type Suite } from './systemhost.ts';

const diskScript = fileURLToPath(new URL('../system/vmdisk.sh', import.meta.url));
const patienceMs = 10 * 60_000;
/** A KVM within a virtual machine may begin and then hang: who has a good one says `kvm`. */
const accelerator = process.env['KLEIDI_VM_ACCEL'] ?? 'tcg';

/** What machines of a suite boot from; made once, in some minutes. */
function bootFiles(suite: Suite): string {
  const base = baseTree(suite);
  const aside = ['unshare', '--mount', '--propagation', 'private', 'sh', diskScript, base];
  return madeOnce(`vm-${suite}`, diskScript, aside, base);
}

export class VirtualMachine {
  readonly #boot: string;
  readonly #folder = temporaryFolder();
  readonly #disk: string;
  #tpm = 0;
  #port = 0;
  #processes: ChildProcess[] = [];
  #qemu: ChildProcess | undefined;

  private constructor(boot: string, disk: string) {
    this.#boot = boot;
    this.#disk = join(this.#folder, 'disk.img');
    const copied = spawnSync('cp', ['--sparse=always', disk, this.#disk]);
    if (copied.status !== 0) throw new Error(`no copy of ${disk}: ${copied.stderr}`);
    after(() => this.#end());
  }

  /** Switched on, with a TPM that knows nothing. Gone at the end of the test file. */
  static async boot(suite: Suite): Promise<VirtualMachine> {
    const boot = bootFiles(suite);
    const machine = new VirtualMachine(boot, join(boot, 'disk.img'));
    await machine.start();
    return machine;
  }

  /** Another machine with a copy of the disk of this one, which must be off. */
  async copyOfDisk(): Promise<VirtualMachine> {
    const machine = new VirtualMachine(this.#boot, this.#disk);
    await machine.start();
    return machine;
  }

  /** What a new board has. The machine must be off. */
  replaceTpm(): void {
    this.#tpm += 1;
  }

  async start(): Promise<void> {
    const chip = join(this.#folder, `tpm-${this.#tpm}`);
    mkdirSync(chip, { recursive: true });
    const control = join(this.#folder, 'tpm.sock');
    rmSync(control, { force: true });
    const simulated = ['socket', '--tpm2', '--tpmstate', `dir=${chip}`, '--terminate'];
    this.#run('swtpm', [...simulated, '--ctrl', `type=unixio,path=${control}`]);
    await until(() => existsSync(control));
    this.#port = await freePort();
    this.#qemu = this.#run('qemu-system-x86_64', this.#hardware(control));
    const endMs = performance.now() + patienceMs;
    while (!/running|degraded/.test(this.try('systemctl is-system-running --wait').stdout)) {
      const { exitCode, signalCode } = this.#qemu;
      if (exitCode !== null || signalCode !== null) throw new Error('QEMU has ended');
      if (performance.now() > endMs) throw new Error('the virtual machine does not come up');
      await sleep(250);
    }
  }

  /** An orderly shutdown. */
  async stop(): Promise<void> {
    const off = this.#gone();
    this.try('systemctl poweroff');
    await off;
    this.#end();
  }

  /** Runs a shell command as root. Never throws. */
  try(command: string, options: { input?: string | Buffer } = {}): CommandResult {
    const { status, stdout, stderr } = spawnSync('ssh', [...this.#ssh(), '--', command], {
      input: options.input ?? '',
      maxBuffer: 64 << 20,
      timeout: patienceMs,
    });
    return { exitCode: status, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /** @throws Error with all that was printed, where the command fails */
  sh(command: string, options: { input?: string | Buffer } = {}): string {
    const { exitCode, stdout, stderr } = this.try(command, options);
    if (exitCode === 0) return stdout.trim();
    throw new Error(`vm: ${command}\nexit ${exitCode}\n${stdout}${stderr}`);
  }

  write(path: string, contents: string | Buffer): void {
    this.sh(`cat > '${path}'`, { input: contents });
  }

  read(path: string): string {
    return this.sh(`cat '${path}'`);
  }

  journal(): string {
    return this.sh('journalctl -u kleidi -b -o cat --no-pager');
  }

  async until(command: string): Promise<void> {
    for (const endMs = performance.now() + patienceMs; ; await sleep(250)) {
      if (this.try(command).exitCode === 0) return;
      if (performance.now() > endMs) throw new Error(`vm: not in time: ${command}`);
    }
  }

  /** A client on its socket, through ssh. */
  async client(): Promise<KmsClient> {
    const socket = join(temporaryFolder(), 'kms.sock');
    this.#run('ssh', [...this.#ssh(), '-N', '-L', `${socket}:/run/kleidi/kms.sock`]);
    await until(() => existsSync(socket));
    return new KmsClient(socket);
  }

  #hardware(control: string): string[] {
    const at = (name: string): string => join(this.#boot, name);
    return [
      ...['-M', `q35,accel=${accelerator}`, '-cpu', 'max', '-smp', '2', '-m', '1024'],
      ...['-display', 'none', '-serial', `file:${join(this.#folder, 'console')}`],
      ...['-kernel', at('vmlinuz'), '-initrd', at('initrd')],
      ...['-append', 'root=/dev/vda rw console=ttyS0'],
      ...['-drive', `file=${this.#disk},format=raw,if=virtio,cache=unsafe`],
      ...['-netdev', `user,id=n,hostfwd=tcp:127.0.0.1:${this.#port}-:22`],
      ...['-device', 'virtio-net-pci,netdev=n,romfile='],
      ...['-chardev', `socket,id=c,path=${control}`],
      ...['-tpmdev', 'emulator,id=t,chardev=c', '-device', 'tpm-crb,tpmdev=t'],
    ];
  }

  #ssh(): string[] {
    const quiet = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
    const options = [...quiet, 'ConnectTimeout=5', 'BatchMode=yes'];
    return [
      ...options.flatMap((option) => ['-o', option]),
      ...['-i', join(this.#boot, 'key'), '-p', String(this.#port), 'root@127.0.0.1'],
    ];
  }

  #run(program: string, args: readonly string[]): ChildProcess {
    const child = spawn(program, args, { stdio: 'ignore' });
    this.#processes.push(child);
    return child;
  }

  #gone(): Promise<void> {
    const qemu = this.#qemu;
    if (qemu === undefined || qemu.exitCode !== null || qemu.signalCode !== null)
      return Promise.resolve();
    return new Promise((resolve) => qemu.once('exit', () => resolve()));
  }

  #end(): void {
    for (const child of this.#processes) child.kill('SIGKILL');
    this.#processes = [];
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (const endMs = performance.now() + patienceMs; !isSo(); await sleep(20)) {
    if (performance.now() > endMs) throw new Error('not in time');
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
