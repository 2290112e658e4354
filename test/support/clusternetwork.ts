// The network of a cluster of test hosts: each host has a namespace of its own with
// one address, and all are on a bridge in one more namespace. Nothing of it is in
// this machine's own network: a process that wants to reach the hosts enters the
// bridge's namespace.
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { after } from 'node:test';

/** Addresses of the hosts; the bridge has the last one. */
export const hostAddresses = ['10.77.0.1', '10.77.0.2', '10.77.0.3'] as const;
const bridgeAddress = '10.77.0.254';

export class ClusterNetwork {
  readonly #name: string;
  #attached = 0;

  private constructor(name: string) {
    this.#name = name;
  }

  /** Gone at the end of the test file. */
  static create(): ClusterNetwork {
    const network = new ClusterNetwork(`kleidi-${process.pid}`);
    after(() => network.#remove());
    network.#makeBridge();
    for (const address of hostAddresses) network.attach(address);
    return network;
  }

  /** One more host, after those of hostAddresses. @returns as `namespaceOf` */
  attach(address: string): string {
    const index = this.#attached++;
    this.#attach(index, address);
    return this.namespaceOf(index);
  }

  /** For BootOptions.networkNamespace. It outlives a reboot of the host. */
  namespaceOf(index: number): string {
    return `/run/netns/${this.#name}-${index}`;
  }

  /** A process that reaches the hosts by their addresses. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn('nsenter', [`--net=/run/netns/${this.#name}`, program, ...args], options);
  }

  /** @throws Error where it ends with another exit code than 0 */
  run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Buffer {
    const command = [`--net=/run/netns/${this.#name}`, program, ...args];
    const { status, stdout, stderr } = spawnSync('nsenter', command, {
      env: { ...process.env, ...env },
      maxBuffer: 64 << 20,
      timeout: 60_000,
    });
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  #makeBridge(): void {
    ip('netns', 'add', this.#name);
    this.run('ip', ['link', 'add', 'bridge', 'type', 'bridge']);
    this.run('ip', ['address', 'add', `${bridgeAddress}/24`, 'dev', 'bridge']);
    for (const link of ['bridge', 'lo']) this.run('ip', ['link', 'set', link, 'up']);
  }

  #attach(index: number, address: string): void {
    const namespace = `${this.#name}-${index}`;
    const port = `host${index}`;
    ip('netns', 'add', namespace);
    const peer = ['peer', 'name', 'host0', 'netns', namespace];
    this.run('ip', ['link', 'add', port, 'type', 'veth', ...peer]);
    this.run('ip', ['link', 'set', port, 'master', 'bridge', 'up']);
    ip('-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'host0');
    for (const link of ['host0', 'lo']) ip('-n', namespace, 'link', 'set', link, 'up');
  }

  #remove(): void {
    const names = Array.from({ length: this.#attached }, (_, index) => `${this.#name}-${index}`);
    for (const name of [...names, this.#name]) spawnSync('ip', ['netns', 'delete', name]);
  }
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync('ip', args);
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}
