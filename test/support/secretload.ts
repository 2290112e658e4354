// A child inside the cluster's network: it creates Secrets, and writes some of them again
// and again until SIGTERM. Each is written by one writer, so that its last value is known.
//   secretload.ts FOLDER ADDRESS...     FOLDER: ca.pem, admin.pem, admin.key
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialsIn } from './apiagent.ts';
import { ApiClient } from './apiclient.ts';

export type SecretOrder =
  | { readonly kind: 'create'; readonly from: number; readonly to: number }
  | { readonly kind: 'write'; readonly names: readonly string[] };

export type SecretNews =
  | { readonly kind: 'done' }
  /** By name, the value of the last write that succeeded. */
  | { readonly kind: 'last'; readonly last: Readonly<Record<string, string>> };

const secrets = '/api/v1/namespaces/default/secrets';
const creators = 48;

/** In the order in which they are listed. */
export function secretName(index: number): string {
  return `s-${String(index).padStart(6, '0')}`;
}

class SecretLoad {
  readonly #client: ApiClient;
  readonly #addresses: readonly string[];
  readonly #last: Record<string, string> = {};
  #isOver = false;
  #writers: Promise<unknown> = Promise.resolve();

  constructor(client: ApiClient, addresses: readonly string[]) {
    this.#client = client;
    this.#addresses = addresses;
  }

  async create(from: number, to: number): Promise<void> {
    let next = from;
    const work = async (): Promise<void> => {
      for (let index = next++; index < to; index = next++) {
        await this.#send(index, 'POST', secretName(index), 'first');
      }
    };
    await Promise.all(Array.from({ length: creators }, work));
  }

  /** Each API server has a writer, for a part of them. */
  write(names: readonly string[]): void {
    const parts = this.#addresses.map((_, part) => names.filter((_, i) => i % 3 === part));
    this.#writers = Promise.all(parts.map((part, index) => this.#writer(index, part)));
  }

  async stop(): Promise<Readonly<Record<string, string>>> {
    this.#isOver = true;
    await this.#writers;
    return this.#last;
  }

  async #writer(index: number, names: readonly string[]): Promise<void> {
    for (let turn = 0; !this.#isOver; turn += 1) {
      await this.#send(index, 'PUT', names[turn % names.length] ?? '', `turn ${turn}`);
      await sleep(2);
    }
  }

  /** A write of which it is not known whether it succeeded would make the verdict unknown. */
  async #send(index: number, method: 'POST' | 'PUT', name: string, value: string): Promise<void> {
    const address = this.#addresses[index % this.#addresses.length] ?? '';
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { value } };
    const path = method === 'POST' ? secrets : `${secrets}/${name}`;
    const { status, text } = await this.#client.call({ address, method, path, body });
    if (status !== 200 && status !== 201) throw new Error(`${name}: ${status} ${text}`);
    this.#last[name] = value;
  }
}

const [, script, folder = '', ...addresses] = process.argv;
if (script?.endsWith('secretload.ts')) {
  const load = new SecretLoad(new ApiClient(credentialsIn(folder)), addresses);
  process.on('message', async (order: SecretOrder) => {
    if (order.kind === 'create') await load.create(order.from, order.to);
    else load.write(order.names);
    process.send?.({ kind: 'done' } satisfies SecretNews);
  });
  process.on('SIGTERM', async () => {
    process.send?.({ kind: 'last', last: await load.stop() } satisfies SecretNews);
    process.disconnect();
  });
}
