// One kube-apiserver on this machine, over an etcd of its own: for what needs a real one and
// no host. It is ended with the test file.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, type ApiReply } from './apiclient.ts';
import { makeClusterCertificates } from './clustercertificates.ts';
import { commonFlags } from './clusterunits.ts';
import type { Etcd } from './etcd.ts';

/** Of its own, so that it is in nobody's way at port 6443. */
const address = '127.0.0.77';

interface Parts {
  /** With kube-apiserver in it. */
  readonly binaries: string;
  readonly folder: string;
  readonly etcd: Etcd;
  /** The socket of a KMS v2 plugin, by which Secrets are sealed. */
  readonly kmsSocket: string;
}

export class LocalApiServer {
  readonly #parts: Parts;
  readonly #client: ApiClient;
  #process: ChildProcess | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    mkdirSync(parts.folder);
    const files = makeClusterCertificates(parts.folder, [address]);
    const textOf = (name: string): string => String(files.get(name));
    const [ca, cert, key] = [textOf('ca.pem'), textOf('admin.pem'), textOf('admin.key')];
    this.#client = new ApiClient({ ca, cert, key });
    writeFileSync(this.#at('encryption.yaml'), encryptionBy(parts.kmsSocket));
    // By then its etcd may be gone, and without that it takes minutes to end in order.
    after(() => this.#process?.kill('SIGKILL'));
  }

  /** It need not be ready. */
  start(): void {
    const log = openSync(this.#at('log'), 'a');
    this.#process = spawn(join(this.#parts.binaries, 'kube-apiserver'), this.#flags(), {
      stdio: ['ignore', log, log],
    });
  }

  async stop(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    process.kill('SIGTERM');
    await once(process, 'exit');
  }

  /** Until it serves Secrets. */
  async ready(): Promise<void> {
    for (let i = 0; i < 300; i += 1) {
      const reply = await this.call('GET', '/readyz').catch(() => undefined);
      if (reply?.status === 200) return;
      await sleep(200);
    }
    throw new Error(
      `kube-apiserver is not ready: ${readFileSync(this.#at('log'), 'utf8').slice(-3000)}`,
    );
  }

  call(method: 'GET' | 'POST', path: string, body?: object): Promise<ApiReply> {
    return this.#client.call({ address, method, path, ...(body && { body }) });
  }

  #at(name: string): string {
    return join(this.#parts.folder, name);
  }

  #flags(): readonly string[] {
    return [
      `--bind-address=${address}`,
      // Of no machine: nobody asks where it is.
      '--advertise-address=192.0.2.77',
      '--endpoint-reconciler-type=none',
      `--etcd-servers=${this.#parts.etcd.url}`,
      `--encryption-provider-config=${this.#at('encryption.yaml')}`,
      ...commonFlags((name) => this.#at(name)),
    ];
  }
}

function encryptionBy(socket: string): string {
  const kms = { apiVersion: 'v2', name: 'kleidi', endpoint: `unix://${socket}`, timeout: '3s' };
  return JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [{ resources: ['secrets'], providers: [{ kms }, { identity: {} }] }],
  });
}
