// A client of one kube-apiserver with the administrator's certificate: plain HTTPS.
// For a process in the cluster's network; the tests have it in a child, apiagent.ts.
import { Agent, request } from 'node:https';

export interface ApiReply {
  readonly status: number;
  readonly text: string;
}

export interface ApiCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface ApiCall {
  readonly address: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: object;
}

export class ApiClient {
  readonly #agent: Agent;

  constructor(credentials: ApiCredentials) {
    this.#agent = new Agent({ ...credentials, keepAlive: true });
  }

  /** Rejects where no answer comes. */
  call({ address, method, path, body }: ApiCall): Promise<ApiReply> {
    return new Promise((resolve, reject) => {
      const options = { host: address, port: 6443, path, method, agent: this.#agent };
      const headers = { 'content-type': 'application/json', accept: '*/*' };
      const sent = request({ ...options, headers, timeout: 60_000 }, (reply) => {
        const parts: Buffer[] = [];
        reply.on('data', (part: Buffer) => parts.push(part));
        reply.on('error', reject);
        reply.on('end', () =>
          resolve({ status: reply.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
        );
      });
      sent.on('timeout', () => sent.destroy(new Error('no answer within 60 s')));
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}
