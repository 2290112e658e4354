// A control plane with kleidi from its package on each host, by the commands of an
// operator: one KEK that all serve, and the phases of the API servers.
import { beginCeremony, type Ceremony, makeFirstKek } from './clusterceremony.ts';
import { bootParts, ControlPlane, type Parts } from './controlplane.ts';
import { packageFile } from './installed.ts';

export class Cluster extends ControlPlane {
  readonly ceremony: Ceremony;

  private constructor(parts: Parts) {
    super(parts);
    const [first, ...others] = parts.hosts;
    if (first === undefined) throw new Error('no hosts');
    this.ceremony = beginCeremony(first, others);
  }

  /** As after `boot`, with all API servers at phase write. */
  static async sealing(binaries: string): Promise<Cluster> {
    const cluster = await Cluster.boot(binaries);
    await cluster.takeTo('read');
    await cluster.takeTo('write');
    return cluster;
  }

  /** All three API servers are ready, and none of them knows of kleidi; kleidi serves one KEK. */
  static override async boot(binaries: string): Promise<Cluster> {
    const parts = await bootParts(binaries);
    for (const host of parts.hosts) {
      host.sh(
        `mkdir -p /etc/kleidi && echo FIRST_KEK=no >/etc/kleidi/install.conf && dpkg -i ${packageFile('deb')}`,
      );
    }
    const cluster = new Cluster(parts);
    await cluster.#firstKek();
    await cluster.api.ready(...cluster.hosts.keys());
    await cluster.uid();
    return cluster;
  }

  async #firstKek(): Promise<void> {
    makeFirstKek(this.ceremony);
    for (const host of this.hosts) {
      host.sh('systemctl start kleidi');
      await host.until('kleidi status');
    }
  }

  enable(index: number, phase: 'read' | 'write' | 'only', ...more: readonly string[]): void {
    this.host(index).sh(this.enabling(index, phase, ...more));
  }

  /** The command of an operator: the digest of another member is asked for there, and named here. */
  enabling(index: number, phase: 'read' | 'write' | 'only', ...more: readonly string[]): string {
    const other = this.host((index + 1) % this.hosts.length);
    const gate =
      phase === 'read' ? [] : ['--ring-digest', other.sh('kleidi ring digest --live --named')];
    return ['kleidi apiserver enable', '--phase', phase, ...gate, ...more].join(' ');
  }

  /** One host after the other, each with a restart of its API server. */
  async takeTo(phase: 'read' | 'write'): Promise<void> {
    for (const index of this.hosts.keys()) {
      this.enable(index, phase);
      await this.restartApiServer(index);
    }
  }
}
