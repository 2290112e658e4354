// Writers and readers on all API servers of a cluster, as a child that goes on while
// the test runs commands on the hosts.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ApiLoadReport } from './apiload.ts';
import { hostAddresses } from './clusternetwork.ts';
import type { ControlPlane } from './controlplane.ts';

const script = fileURLToPath(new URL('apiload.ts', import.meta.url));

export class ClusterLoad {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    after(() => child.kill('SIGKILL'));
  }

  /** Returns when each writer has written once. */
  static async start({ network, folder }: ControlPlane): Promise<ClusterLoad> {
    const child = network.spawn(process.execPath, [script, folder, ...hostAddresses], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const load = new ClusterLoad(child);
    await once(child, 'message');
    return load;
  }

  /** Lets calls in flight end. */
  async stop(): Promise<ApiLoadReport> {
    const said = once(this.#child, 'message') as Promise<[ApiLoadReport]>;
    this.#child.kill('SIGTERM');
    const [report] = await said;
    return report;
  }
}
