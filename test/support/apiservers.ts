// The API servers of a cluster, as an administrator asks them.
import type { ChildProcess } from 'node:child_process';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { AgentCall, AgentReply } from './apiagent.ts';
import type { ApiCall, ApiReply } from './apiclient.ts';
import { type ClusterNetwork, hostAddresses } from './clusternetwork.ts';

const agent = fileURLToPath(new URL('apiagent.ts', import.meta.url));
const namespace = '/api/v1/namespaces/default/secrets';

export class ApiServers {
  readonly #agent: ChildProcess;
  readonly #waiting = new Map<number, (reply: AgentReply['reply']) => void>();
  #sent = 0;

  /** @param folder of the certificates */
  constructor(network: ClusterNetwork, folder: string) {
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    this.#agent = network.spawn(process.execPath, [agent, folder], { stdio: [...stdio] });
    this.#agent.on('message', ({ id, reply }: AgentReply) => {
      this.#waiting.get(id)?.(reply);
      this.#waiting.delete(id);
    });
    after(() => this.#agent.disconnect());
  }

  /** @param index of the host. @throws Error where no answer comes */
  async call(index: number, call: Omit<ApiCall, 'address'>): Promise<ApiReply> {
    const id = this.#sent++;
    const reply = new Promise<AgentReply['reply']>((resolve) => this.#waiting.set(id, resolve));
    const address = hostAddresses[index] ?? '';
    this.#agent.send({ id, call: { address, ...call } } satisfies AgentCall);
    const got = await reply;
    if ('error' in got) throw new Error(`${call.method} ${call.path} on ${address}: ${got.error}`);
    return got;
  }

  /** @returns the body. @throws Error where the status is not of success */
  async get(index: number, path: string): Promise<string> {
    return good(await this.call(index, { method: 'GET', path }), path);
  }

  async createSecret(index: number, name: string, text: string): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { text } };
    good(await this.call(index, { method: 'POST', path: namespace, body }), name);
  }

  /** The text, as this API server reads it. */
  async secret(index: number, name: string): Promise<string> {
    const { data } = JSON.parse(await this.get(index, `${namespace}/${name}`)) as {
      data: { text: string };
    };
    return Buffer.from(data.text, 'base64').toString();
  }

  /** Every Secret of the cluster is written anew, as the runbook says. @returns how many */
  async rewriteSecrets(index: number): Promise<number> {
    const { items } = JSON.parse(await this.get(index, '/api/v1/secrets')) as {
      items: readonly { metadata: { namespace: string; name: string } }[];
    };
    for (const { metadata } of items) await this.#rewrite(index, metadata);
    return items.length;
  }

  /** Once more from the start where another has written meanwhile. */
  async #rewrite(index: number, at: { namespace: string; name: string }): Promise<void> {
    const path = `/api/v1/namespaces/${at.namespace}/secrets/${at.name}`;
    for (;;) {
      const body = JSON.parse(await this.get(index, path)) as object;
      const reply = await this.call(index, { method: 'PUT', path, body });
      if (reply.status !== 409) return void good(reply, path);
    }
  }

  async isReady(index: number): Promise<boolean> {
    const reply = await this.call(index, { method: 'GET', path: '/readyz' }).catch(() => undefined);
    return reply?.status === 200;
  }

  /** @throws Error with what is not ready */
  async ready(...indexes: readonly number[]): Promise<void> {
    for (const index of indexes) {
      await waitFor(
        () => this.isReady(index),
        async () => (await this.call(index, { method: 'GET', path: '/readyz?verbose' })).text,
      );
    }
  }
}

function good({ status, text }: ApiReply, what: string): string {
  if (status >= 200 && status < 300) return text;
  throw new Error(`${what}: ${status} ${text}`);
}

/** Polls, with a generous limit. @param describe why it is not so, for the error */
export async function waitFor(
  isSo: () => boolean | Promise<boolean>,
  describe: () => string | Promise<string>,
  timeoutMs = 240_000,
): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${await describe()}`);
    await sleep(250);
  }
}
