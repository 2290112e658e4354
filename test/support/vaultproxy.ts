// Stands between kleidi and a real Vault, and changes what passes: the request's body, or
// the answer in Vault's place. Counts what reaches Vault.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { after } from 'node:test';

type Fields = Readonly<Record<string, unknown>>;

/** What Vault is asked instead, or the status that the proxy answers itself; 0 is silence. */
export type Meddling = (
  operation: string,
  body: Fields,
) => { readonly path?: string; readonly body?: Fields; readonly status?: number };

export const honest: Meddling = () => ({});

/** As a server that does not know the field. */
export const dropsAssociatedData: Meddling = (_, { associated_data: _dropped, ...body }) => ({
  body,
});

export class VaultProxy {
  readonly #target: string;
  readonly #server = createServer((request, response) => void this.#pass(request, response));
  readonly #counts = new Map<string, number>();
  meddling: Meddling = honest;

  private constructor(target: string) {
    this.#target = target;
  }

  static async start(target: string): Promise<VaultProxy> {
    const proxy = new VaultProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    after(() => {
      proxy.#server.closeAllConnections();
      proxy.#server.close();
    });
    return proxy;
  }

  get address(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  /** Calls of this operation of Transit that have reached Vault. */
  count(operation: string): number {
    return this.#counts.get(operation) ?? 0;
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const url = request.url ?? '';
    const operation = /^\/v1\/transit\/([a-z]+)\//.exec(url)?.[1] ?? '';
    const sent = text === '' ? {} : (JSON.parse(text) as Fields);
    const { path = url, body = sent, status } = this.meddling(operation, sent);
    if (status === 0) return void request.socket.destroy();
    if (status !== undefined) return void response.writeHead(status).end('{"errors":[]}');
    this.#counts.set(operation, this.count(operation) + 1);
    const reply = await fetch(`${this.#target}${path}`, {
      method: request.method ?? 'GET',
      headers: {
        'x-vault-token': String(request.headers['x-vault-token'] ?? ''),
        'x-vault-request': 'true',
      },
      ...(text === '' ? {} : { body: JSON.stringify(body) }),
    });
    response.writeHead(reply.status, { 'content-type': 'application/json' });
    response.end(await reply.text());
  }
}
