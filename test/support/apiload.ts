// A child inside the cluster's network: on each API server a writer and a reader
// that never stop, until SIGTERM; then it prints what they saw. A reply that is not
// of success is a failure; nothing is tried again.
//   apiload.ts FOLDER ADDRESS...     FOLDER: ca.pem, admin.pem, admin.key
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialsIn } from './apiagent.ts';
import { ApiClient, type ApiReply } from './apiclient.ts';

export interface ApiLoadReport {
  readonly writes: readonly number[];
  readonly reads: readonly number[];
  /** Secrets that were read with other contents than were written. */
  readonly wrong: number;
  readonly failures: readonly string[];
}

const secrets = '/api/v1/namespaces/default/secrets';
/**
 * Between two calls of one writer or reader: the machine has two processors in all, and each
 * API server is asked more often than a daemon is away at its restart.
 */
const pauseMs = 100;

class ApiLoad {
  readonly #client: ApiClient;
  readonly #addresses: readonly string[];
  readonly #writes: number[];
  readonly #reads: number[];
  readonly #failures: string[] = [];
  #wrong = 0;
  #isOver = false;

  constructor(client: ApiClient, addresses: readonly string[]) {
    this.#client = client;
    this.#addresses = addresses;
    this.#writes = addresses.map(() => 0);
    this.#reads = addresses.map(() => 0);
  }

  async run(): Promise<ApiLoadReport> {
    for (const index of this.#addresses.keys()) await this.#write(index, true);
    process.send?.('ready');
    await Promise.all(
      [...this.#addresses.keys()].flatMap((index) => [this.#writer(index), this.#reader(index)]),
    );
    const [writes, reads] = [this.#writes, this.#reads];
    return { writes, reads, wrong: this.#wrong, failures: this.#failures };
  }

  stop(): void {
    this.#isOver = true;
  }

  async #writer(index: number): Promise<void> {
    while (!this.#isOver) await this.#write(index, false);
  }

  /** One Secret of each writer, at first created, then replaced whatever its version. */
  async #write(index: number, isFirst: boolean): Promise<void> {
    const name = nameOf(index);
    const stringData = { owner: name, count: String(this.#writes[index]) };
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData };
    const [method, path] = isFirst
      ? (['POST', secrets] as const)
      : (['PUT', `${secrets}/${name}`] as const);
    const reply = await this.#call({ address: this.#addresses[index] ?? '', method, path, body });
    if (reply !== undefined) this.#writes[index] = (this.#writes[index] ?? 0) + 1;
  }

  /** What each writer has written, by turns, and all Secrets at once. */
  async #reader(index: number): Promise<void> {
    const address = this.#addresses[index] ?? '';
    for (let turn = 0; !this.#isOver; turn += 1) {
      const name = nameOf(turn % this.#addresses.length);
      const one = await this.#call({ address, method: 'GET', path: `${secrets}/${name}` });
      if (one !== undefined && ownerOf(one) !== name) this.#wrong += 1;
      const all = await this.#call({ address, method: 'GET', path: '/api/v1/secrets' });
      this.#reads[index] =
        (this.#reads[index] ?? 0) + Number(one !== undefined) + Number(all !== undefined);
    }
  }

  async #call(call: Parameters<ApiClient['call']>[0]): Promise<ApiReply | undefined> {
    await sleep(pauseMs);
    const reply = await this.#client.call(call).catch((error: unknown) => String(error));
    if (typeof reply !== 'string' && reply.status >= 200 && reply.status < 300) return reply;
    const what = typeof reply === 'string' ? reply : `${reply.status} ${reply.text}`;
    this.#failures.push(`${call.method} ${call.path} on ${call.address}: ${what}`);
    return undefined;
  }
}

/** Each run has Secrets of its own. */
function nameOf(index: number): string {
  return `load-${process.pid}-${index}`;
}

function ownerOf({ text }: ApiReply): string {
  const { data } = JSON.parse(text) as { data: { owner: string } };
  return Buffer.from(data.owner, 'base64').toString();
}

const [, script, folder = '', ...addresses] = process.argv;
if (script?.endsWith('apiload.ts')) {
  const load = new ApiLoad(new ApiClient(credentialsIn(folder)), addresses);
  process.on('SIGTERM', () => load.stop());
  process.send?.(await load.run());
  process.disconnect();
  process.exit(0);
}
