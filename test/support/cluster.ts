// A control plane of three booted hosts: on each kleidi from its package, one member
// of an etcd cluster, and a kube-apiserver as a plain unit.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiServers, waitFor } from './apiservers.ts';
import {
  beginCeremony,
  type Ceremony,
  createOnAll,
  promoteLike,
  promoteOnFirst,
} from './clusterceremony.ts';
import { makeClusterCertificates } from './clustercertificates.ts';
import { ClusterNetwork, hostAddresses } from './clusternetwork.ts';
import { apiServerUnit, binaryFolder, certificateFolder, etcdUnit } from './clusterunits.ts';
import { temporaryFolder } from './folder.ts';
import { bareHost, packageFile } from './installed.ts';
import type { SystemHost } from './systemhost.ts';

const sealedPrefix = Buffer.from('k8s:enc:kms:v2:kleidi:');

export class Cluster {
  readonly hosts: readonly SystemHost[];
  readonly api: ApiServers;
  readonly ceremony: Ceremony;
  /** Of the certificates, on this machine. */
  readonly folder: string;
  readonly network: ClusterNetwork;

  private constructor(network: ClusterNetwork, folder: string, hosts: readonly SystemHost[]) {
    const [first, ...others] = hosts;
    if (first === undefined) throw new Error('no hosts');
    this.network = network;
    this.folder = folder;
    this.hosts = hosts;
    this.ceremony = beginCeremony(first, others);
    this.api = new ApiServers(network, folder);
  }

  /** As after `boot`, with all API servers at phase write. */
  static async sealing(binaries: string): Promise<Cluster> {
    const cluster = await Cluster.boot(binaries);
    await cluster.takeTo('read');
    await cluster.takeTo('write');
    return cluster;
  }

  /** All three API servers are ready, and none of them knows of kleidi; kleidi serves one KEK. */
  static async boot(binaries: string): Promise<Cluster> {
    const network = ClusterNetwork.create();
    const folder = temporaryFolder();
    const files = makeClusterCertificates(folder, hostAddresses);
    const hosts: SystemHost[] = [];
    for (const [index] of hostAddresses.entries()) {
      const host = await bareHost({
        networkNamespace: network.namespaceOf(index),
        bind: [`${binaries}:${binaryFolder}`],
      });
      for (const [name, contents] of files)
        host.write(`${certificateFolder}/${name}`, contents, 0o600);
      install(host, index);
      hosts.push(host);
    }
    const cluster = new Cluster(network, folder, hosts);
    await cluster.#firstKek();
    await cluster.api.ready(...hosts.keys());
    await cluster.#findUid();
    return cluster;
  }

  host(index: number): SystemHost {
    const host = this.hosts[index];
    if (host === undefined) throw new Error(`no host ${index}`);
    return host;
  }

  async #firstKek(): Promise<void> {
    const { fp } = createOnAll(this.ceremony);
    const promoted = promoteOnFirst(this.ceremony.first, fp);
    for (const host of this.ceremony.others) promoteLike(host, fp, promoted);
    for (const host of this.hosts) {
      host.sh('systemctl start kleidi');
      await host.until('kleidi status');
    }
  }

  /** As an operator: the digest of another member is asked for there, and named here. */
  enable(index: number, phase: 'read' | 'write' | 'only', ...more: readonly string[]): void {
    const other = this.host((index + 1) % this.hosts.length);
    const digest = other.sh('kleidi ring digest --live --named');
    const gate = phase === 'read' ? [] : ['--ring-digest', digest];
    const words = ['--phase', phase, ...gate, ...more].join(' ');
    this.host(index).sh(`kleidi apiserver enable ${words} --cluster ${this.uid}`);
  }

  /** One host after the other, each with a restart of its API server. */
  async takeTo(phase: 'read' | 'write'): Promise<void> {
    for (const index of this.hosts.keys()) {
      this.enable(index, phase);
      await this.restartApiServer(index);
    }
  }

  /** UID of kube-system: what enable wants to know where there is no kubectl. */
  async #findUid(): Promise<void> {
    const path = '/api/v1/namespaces/kube-system';
    await waitFor(
      async () => (await this.api.call(0, { method: 'GET', path })).status === 200,
      () => 'there is no namespace kube-system',
    );
    const { metadata } = JSON.parse(await this.api.get(0, path)) as { metadata: { uid: string } };
    this.uid = metadata.uid;
  }

  uid = '';

  async restartApiServer(index: number): Promise<void> {
    this.host(index).sh('systemctl daemon-reload && systemctl restart kube-apiserver', {
      timeoutMs: 300_000,
    });
    await this.api.ready(index);
  }

  /** The value in etcd, as this member has it. */
  storedSecret(index: number, name: string): Buffer {
    const key = `/registry/secrets/default/${name}`;
    return this.etcdctl(index, 'get', key, '--print-value-only');
  }

  isSealed(index: number, name: string): boolean {
    return this.storedSecret(index, name).subarray(0, sealedPrefix.length).equals(sealedPrefix);
  }

  etcdctl(index: number, ...args: readonly string[]): Buffer {
    const at = (name: string): string => join(this.folder, name);
    const tls = ['--cacert', at('ca.pem'), '--cert', at('admin.pem'), '--key', at('admin.key')];
    const endpoint = `https://${hostAddresses[index] ?? ''}:2379`;
    return this.network.run('etcdctl', ['--endpoints', endpoint, ...tls, ...args], {
      ETCDCTL_API: '3',
    });
  }

  /** Whether any file of this etcd member has these bytes. */
  etcdFilesHave(index: number, bytes: Buffer): boolean {
    const files = globSync(join(this.host(index).root, 'var/lib/etcd/member/{snap,wal}/*'));
    if (files.length < 2) throw new Error('etcd has no files');
    return files.some((file) => readFileSync(file).includes(bytes));
  }
}

/** The package without a KEK; etcd and API server are started, not waited for. */
function install(host: SystemHost, index: number): void {
  host.sh(
    `mkdir -p /etc/kleidi && touch /etc/kleidi/no-first-kek && dpkg -i ${packageFile('deb')}`,
  );
  host.write('/etc/systemd/system/etcd.service', etcdUnit(index));
  host.write('/etc/systemd/system/kube-apiserver.service', apiServerUnit(index));
  host.sh(`systemctl daemon-reload && systemctl enable etcd kube-apiserver &&
    systemctl start --no-block etcd kube-apiserver`);
}
