// A real host: systemd booted by systemd-nspawn on an overlay over a base tree,
// with its own network namespace and cgroups. Commands are run inside it as an
// operator would run them. Needs root; see `whyNoHosts`.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { madeOnce, rigFolder } from './madeonce.ts';
import { recordShell } from './ran.ts';

export type Suite = 'bookworm' | 'trixie';

export interface CommandResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const baseScript = fileURLToPath(new URL('../system/base.sh', import.meta.url));
const controllers = globSync('/sys/fs/cgroup/*/');

/** Why no host can be booted here, or undefined. */
export function whyNoHosts(): string | undefined {
  if (process.getuid?.() !== 0) return 'booting hosts needs root';
  for (const tool of ['systemd-nspawn', 'debootstrap', 'nsenter', 'ip']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
      return `${tool} is not installed`;
  }
  return undefined;
}

/** Defines tests that need hosts; one skipped test with the reason where none can be booted. */
export async function onHosts(define: () => Promise<void>): Promise<void> {
  const reason = whyNoHosts();
  if (reason === undefined) return define();
  if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${reason}`);
  test('hosts', { skip: reason }, () => undefined);
}

/** The base tree of a suite; made once, in about a minute. */
export function baseTree(suite: Suite): string {
  return madeOnce(`base-${suite}`, baseScript, ['sh', baseScript, suite]);
}

export class SystemHost {
  readonly name: string;
  /** Its root folder, as seen from outside. */
  readonly root: string;
  readonly #folder: string;
  readonly #suite: Suite;
  readonly #options: BootOptions;
  #container: ChildProcess | undefined;
  #leader = 0;

  private constructor(name: string, suite: Suite, options: BootOptions) {
    this.name = name;
    this.#suite = suite;
    this.#options = options;
    this.#folder = join(rigFolder, 'run', name);
    this.root = join(this.#folder, 'root');
  }

  /** Booted, and gone at the end of the test file. */
  static async boot(options: BootOptions = {}): Promise<SystemHost> {
    const suite = options.suite ?? 'bookworm';
    const name = `kleidi-${process.pid}-${SystemHost.#count++}`;
    const host = new SystemHost(name, suite, options);
    after(() => host.remove());
    host.#mount();
    await host.start();
    return host;
  }

  static #count = 0;

  /** Powers on; resolves once systemd has come up. */
  async start(): Promise<void> {
    this.#makeCgroups();
    this.#container = spawn('sh', ['-c', this.#launcher(), 'nspawn', ...this.#nspawn()], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...this.#environment() },
    });
    const console_: Buffer[] = [];
    this.#container.stdout?.on('data', (part: Buffer) => console_.push(part));
    this.#container.stderr?.on('data', (part: Buffer) => console_.push(part));
    const deadlineMs = Date.now() + 60_000;
    while (Date.now() < deadlineMs) {
      this.#leader = this.#findLeader();
      if (this.#leader !== 0) {
        const { stdout } = this.try('systemctl is-system-running --wait');
        if (/running|degraded/.test(stdout)) return;
      }
      if (this.#container.exitCode !== null) break;
      await sleep(50);
    }
    throw new Error(
      `${this.name} does not boot: ${Buffer.concat(console_).toString().slice(-3000)}`,
    );
  }

  /** An orderly shutdown. */
  async stop(): Promise<void> {
    const container = this.#container;
    if (container === undefined || container.exitCode !== null || container.signalCode !== null)
      return;
    const gone = new Promise((resolve) => container.once('exit', resolve));
    const nspawnPid = this.#nspawnPid();
    if (nspawnPid !== 0) process.kill(nspawnPid, 'SIGTERM');
    const timer = setTimeout(() => {
      if (this.#leader !== 0) process.kill(this.#leader, 'SIGKILL');
    }, 20_000);
    await gone;
    clearTimeout(timer);
    this.#container = undefined;
  }

  /** As after a power cut: the disk is what it was. */
  async powerOff(): Promise<void> {
    const container = this.#container;
    if (container === undefined || this.#leader === 0) return;
    const gone = new Promise((resolve) => container.once('exit', resolve));
    process.kill(this.#leader, 'SIGKILL');
    await gone;
    this.#container = undefined;
  }

  async reboot(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Runs a shell command as root. Never throws. */
  try(
    command: string,
    options: { input?: string | Buffer; timeoutMs?: number } = {},
  ): CommandResult {
    const { status, stdout, stderr } = spawnSync(
      'nsenter',
      [...this.enter(), 'sh', '-c', command],
      {
        input: options.input ?? '',
        timeout: options.timeoutMs ?? 120_000,
        maxBuffer: 64 << 20,
        env: cleanEnvironment,
      },
    );
    recordShell(command, status);
    return { exitCode: status, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  /** @throws Error with all that was printed, where the command fails */
  sh(command: string, options: { input?: string | Buffer; timeoutMs?: number } = {}): string {
    const { exitCode, stdout, stderr } = this.try(command, options);
    if (exitCode === 0) return stdout.trim();
    throw new Error(`${this.name}: ${command}\nexit ${exitCode}\n${stdout}${stderr}`);
  }

  /** A process inside the host that runs beside the test. */
  spawn(command: string): ChildProcess {
    return spawn('nsenter', [...this.enter(), 'sh', '-c', command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: cleanEnvironment,
    });
  }

  /** Arguments of nsenter for a process inside. */
  enter(): string[] {
    return ['-t', String(this.#leader), '-m', '-u', '-i', '-n', '-p', '-C', '--'];
  }

  /** A path of the host as this machine reaches it, sockets and tmpfs too, until it reboots. */
  outside(path: string): string {
    return `/proc/${this.#leader}/root${path}`;
  }

  write(path: string, contents: string | Buffer, mode = 0o644): void {
    this.sh(
      `mkdir -p "$(dirname '${path}')" && cat > '${path}' && chmod ${mode.toString(8)} '${path}'`,
      {
        input: contents,
      },
    );
  }

  read(path: string): string {
    return this.sh(`cat '${path}'`);
  }

  journal(unit = 'kleidi'): string {
    return this.sh(`journalctl -u ${unit} -b -o cat --no-pager`);
  }

  /** Polls a shell command until it succeeds. */
  async until(command: string, timeoutMs = 60_000): Promise<void> {
    const deadlineMs = Date.now() + timeoutMs;
    while (this.try(command).exitCode !== 0) {
      if (Date.now() > deadlineMs) {
        throw new Error(
          `${this.name}: not within ${timeoutMs} ms: ${command}\n${this.journal().slice(-3000)}`,
        );
      }
      await sleep(100);
    }
  }

  async remove(): Promise<void> {
    await this.stop();
    spawnSync('umount', ['-R', '-l', this.root]);
    rmSync(this.#folder, { recursive: true, force: true });
    for (const folder of controllers.map((each) => join(each, this.name))) removeCgroup(folder);
  }

  #mount(): void {
    const at = (name: string): string => join(this.#folder, name);
    for (const name of ['root', 'upper', 'work']) mkdirSync(at(name), { recursive: true });
    const image = this.#options.image === undefined ? [] : [this.#options.image];
    const lower = [...image, baseTree(this.#suite)].join(':');
    const layers = `lowerdir=${lower},upperdir=${at('upper')},workdir=${at('work')}`;
    const mounted = spawnSync('mount', ['-t', 'overlay', this.name, '-o', layers, this.root]);
    if (mounted.status !== 0) throw new Error(`overlay: ${mounted.stderr}`);
    writeFileSync(join(this.root, 'etc/hostname'), `${this.name}\n`);
  }

  /** Its own group in each hierarchy: containers must not share a cgroup root. */
  #makeCgroups(): void {
    for (const folder of controllers.map((each) => join(each, this.name))) {
      mkdirSync(folder, { recursive: true });
      if (!existsSync(join(folder, 'cpuset.cpus'))) continue;
      for (const name of ['cpuset.cpus', 'cpuset.mems']) {
        writeFileSync(join(folder, name), readFileSync(join(folder, '..', name)));
      }
    }
  }

  #launcher(): string {
    return `for g in /sys/fs/cgroup/*/${this.name}; do echo $$ > $g/cgroup.procs; done 2>/dev/null; exec systemd-nspawn "$@"`;
  }

  #nspawn(): string[] {
    return [
      '-q',
      ...['-D', this.root, '-M', this.name],
      ...['--kill-signal=SIGRTMIN+3', '--register=no', '--keep-unit'],
      '--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN,CAP_IPC_LOCK',
      '--system-call-filter=bpf @keyring @memlock',
      ...(this.#options.networkNamespace === undefined
        ? ['--private-network']
        : [`--network-namespace-path=${this.#options.networkNamespace}`]),
      ...['--resolv-conf=off', '--timezone=off', '--link-journal=no', '--console=pipe'],
      ...(this.#options.bind ?? []).map((folder) => `--bind-ro=${folder}`),
      ...(this.#options.env ?? []).map((variable) => `--setenv=${variable}`),
      '/rig-init',
    ];
  }

  /** systemd 256 and newer boots on the unified hierarchy only. */
  #environment(): Record<string, string> {
    return this.#suite === 'trixie' ? { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' } : {};
  }

  #nspawnPid(): number {
    return this.#container?.pid ?? 0;
  }

  #findLeader(): number {
    const found = spawnSync('pgrep', ['-P', String(this.#nspawnPid()), '-f', 'systemd']);
    return Number(found.stdout.toString().split('\n')[0] ?? 0);
  }
}

export interface BootOptions {
  readonly suite?: Suite;
  /** A layer over the suite's base tree that this host is a clone of. */
  readonly image?: string;
  /** Path of a network namespace; its own empty one otherwise. */
  readonly networkNamespace?: string;
  /** FOLDER:PATH, folders of this machine that the host sees, read-only. */
  readonly bind?: readonly string[];
  /** NAME=VALUE, variables of its systemd. */
  readonly env?: readonly string[];
}

const cleanEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
};

function removeCgroup(folder: string): void {
  if (!existsSync(folder)) return;
  for (const inner of globSync(join(folder, '*/'))) removeCgroup(inner);
  try {
    rmdirSync(folder);
  } catch {
    // A process is still leaving it; an empty group left behind does no harm.
  }
}
