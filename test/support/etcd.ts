// A real etcd of one member, written to over its JSON gateway, and the files
// that it leaves: data file and snapshot.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

export type Entry = readonly [key: string, value: Buffer];

/** etcd's --max-txn-ops. */
const entriesPerTransaction = 128;

export class Etcd {
  readonly dataFile: string;
  readonly #process: ChildProcess;
  readonly #url: string;

  private constructor(process: ChildProcess, url: string, folder: string) {
    this.#process = process;
    this.#url = url;
    this.dataFile = join(folder, 'member/snap/db');
  }

  static async start(folder: string): Promise<Etcd> {
    const [client, peer] = await Promise.all([freeUrl(), freeUrl()]);
    const args = ['--data-dir', folder, '--listen-client-urls', client, '--log-level', 'error'];
    args.push('--advertise-client-urls', client, '--listen-peer-urls', peer);
    args.push('--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`);
    const etcd = new Etcd(
      spawn('etcd', [...args, '--unsafe-no-fsync'], { stdio: 'ignore' }),
      client,
      folder,
    );
    after(() => etcd.stop());
    for (let i = 0; i < 100; i += 1) {
      const answer = await fetch(`${client}/health`).catch(() => undefined);
      if (answer?.ok === true) return etcd;
      await sleep(100);
    }
    throw new Error('etcd does not start');
  }

  get url(): string {
    return this.#url;
  }

  async put(...entries: Entry[]): Promise<void> {
    for (let i = 0; i < entries.length; i += entriesPerTransaction) {
      const success = entries.slice(i, i + entriesPerTransaction).map(([key, value]) => ({
        requestPut: { key: base64(key), value: value.toString('base64') },
      }));
      await this.#call('txn', { success });
    }
  }

  async delete(key: string): Promise<void> {
    await this.#call('deleterange', { key: base64(key) });
  }

  /** Forgets all earlier revisions, as kube-apiserver asks for every five minutes. */
  async compact(): Promise<void> {
    const { header } = await this.#call('range', { key: base64('x') });
    await this.#call('compaction', { revision: header.revision, physical: true });
  }

  /** As operators take them. */
  snapshot(file: string): string {
    const env = { ...process.env, ETCDCTL_API: '3' };
    const args = ['--endpoints', this.#url, 'snapshot', 'save', file];
    execFileSync('etcdctl', args, { env, stdio: 'ignore' });
    return file;
  }

  /** Everything is in the data file afterwards. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
  }

  async #call(method: string, body: object): Promise<{ header: { revision: string } }> {
    const answer = await fetch(`${this.#url}/v3/kv/${method}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`etcd ${method}: ${await answer.text()}`);
    return (await answer.json()) as { header: { revision: string } };
  }
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

async function freeUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}
