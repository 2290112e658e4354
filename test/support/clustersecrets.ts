// Many Secrets in a cluster, and writers of some of them, as a child that goes on while the
// test runs commands on the hosts.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hostAddresses } from './clusternetwork.ts';
import type { ControlPlane } from './controlplane.ts';
import type { SecretNews, SecretOrder } from './secretload.ts';

const script = fileURLToPath(new URL('secretload.ts', import.meta.url));

export class ClusterSecrets {
  readonly #child: ChildProcess;

  constructor({ network, folder }: ControlPlane) {
    this.#child = network.spawn(process.execPath, [script, folder, ...hostAddresses], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    after(() => this.#child.kill('SIGKILL'));
  }

  /** Numbers `from` to before `to`. Returns when all are there. */
  async create(from: number, to: number): Promise<void> {
    await this.#order({ kind: 'create', from, to });
  }

  async write(names: readonly string[]): Promise<void> {
    await this.#order({ kind: 'write', names });
  }

  /** @returns by name, the value that its last writer gave each. */
  async stop(): Promise<Readonly<Record<string, string>>> {
    this.#child.kill('SIGTERM');
    const news = await this.#news();
    if (news.kind !== 'last') throw new Error('the writers have not said what they wrote');
    return news.last;
  }

  async #order(order: SecretOrder): Promise<void> {
    this.#child.send(order);
    await this.#news();
  }

  async #news(): Promise<SecretNews> {
    const ended = once(this.#child, 'exit').then(() => Promise.reject(new Error('it has ended')));
    const [news] = (await Promise.race([once(this.#child, 'message'), ended])) as [SecretNews];
    return news;
  }
}
