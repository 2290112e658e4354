// Three booted hosts, on each one member of an etcd cluster, and a kube-apiserver as a
// plain unit with kubectl and the administrator's kubeconfig. kleidi is not on them, but
// its package is at hand.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiServers, waitFor } from './apiservers.ts';
import { makeClusterCertificates, readClusterCertificates } from './clustercertificates.ts';
import { ClusterNetwork, hostAddresses } from './clusternetwork.ts';
import {
  adminKubeconfig,
  apiServerUnit,
  binaryFolder,
  certificateFolder,
  etcdUnit,
} from './clusterunits.ts';
import { temporaryFolder } from './folder.ts';
import { bareHost } from './installed.ts';
import type { SystemHost } from './systemhost.ts';

const sealedPrefix = Buffer.from('k8s:enc:kms:v2:kleidi:');

export class ControlPlane {
  readonly hosts: readonly SystemHost[];
  readonly api: ApiServers;
  /** Of the certificates, on this machine. */
  readonly folder: string;
  readonly network: ClusterNetwork;

  protected constructor({ network, folder, hosts }: Parts) {
    this.network = network;
    this.folder = folder;
    this.hosts = hosts;
    this.api = new ApiServers(network, folder);
  }

  /** All three API servers are ready. */
  static async boot(binaries: string): Promise<ControlPlane> {
    const plane = new ControlPlane(await bootParts(binaries));
    await plane.api.ready(...plane.hosts.keys());
    return plane;
  }

  host(index: number): SystemHost {
    const host = this.hosts[index];
    if (host === undefined) throw new Error(`no host ${index}`);
    return host;
  }

  /** UID of kube-system, once there is this namespace. */
  async uid(): Promise<string> {
    const path = '/api/v1/namespaces/kube-system';
    await waitFor(
      async () => (await this.api.call(0, { method: 'GET', path })).status === 200,
      () => 'there is no namespace kube-system',
    );
    const { metadata } = JSON.parse(await this.api.get(0, path)) as { metadata: { uid: string } };
    return metadata.uid;
  }

  async restartApiServer(index: number): Promise<void> {
    this.host(index).sh('systemctl daemon-reload && systemctl restart kube-apiserver', {
      timeoutMs: 300_000,
    });
    await this.api.ready(index);
  }

  /** A host with an API server on the etcd of the first, not started, and no member of etcd. */
  async addHost(binaries: string): Promise<SystemHost> {
    const address = '10.77.0.4';
    const host = await bareHost({
      networkNamespace: this.network.attach(address),
      bind: [`${binaries}:${binaryFolder}`],
    });
    for (const [name, contents] of readClusterCertificates(this.folder))
      host.write(`${certificateFolder}/${name}`, contents, 0o600);
    host.write('/etc/kubernetes/admin.conf', adminKubeconfig(0), 0o600);
    const unit = apiServerUnit(address, hostAddresses[0]);
    host.write('/etc/systemd/system/kube-apiserver.service', unit);
    host.sh(`ln -s ${binaryFolder}/kubectl /usr/local/bin/kubectl && systemctl daemon-reload &&
      systemctl enable kube-apiserver`);
    return host;
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

export interface Parts {
  readonly network: ClusterNetwork;
  readonly folder: string;
  readonly hosts: readonly SystemHost[];
}

/** etcd and API servers are started, not waited for. */
export async function bootParts(binaries: string): Promise<Parts> {
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
  return { network, folder, hosts };
}

function install(host: SystemHost, index: number): void {
  host.write('/etc/kubernetes/admin.conf', adminKubeconfig(index), 0o600);
  host.write('/etc/systemd/system/etcd.service', etcdUnit(index));
  host.write(
    '/etc/systemd/system/kube-apiserver.service',
    apiServerUnit(hostAddresses[index] ?? ''),
  );
  host.sh(`ln -s ${binaryFolder}/kubectl /usr/local/bin/kubectl && systemctl daemon-reload &&
    systemctl enable etcd kube-apiserver && systemctl start --no-block etcd kube-apiserver`);
}
