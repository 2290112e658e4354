// Asks the API server of this host over TLS, as the administrator of its kubeconfig.
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { KleidiError, reasonOf } from '../../errors.ts';
import type { Installation } from '../installation.ts';
import { type Address, ownAddress } from './address.ts';
import { type Kubeconfig, readKubeconfig } from './kubeconfig.ts';

const timeoutMs = 20_000;
/** All metrics of a large API server are some 10 MB. */
const maxBytes = 256 * 1024 * 1024;

export interface Reply {
  readonly status: number;
  readonly body: string;
  /** Where it says when to ask again. */
  readonly retryAfterMs: number | undefined;
}

export interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** A text is sent as it is: numbers that JavaScript cannot hold stay what they are. */
  readonly body?: object | string;
  readonly accept?: string;
}

export class ApiserverClient {
  readonly address: Address;
  readonly #kubeconfig: Kubeconfig;
  readonly #agent: Agent;

  private constructor(address: Address, kubeconfig: Kubeconfig) {
    this.address = address;
    this.#kubeconfig = kubeconfig;
    const { ca, login, serverName } = kubeconfig;
    const proof = login.kind === 'certificate' ? { cert: login.cert, key: login.key } : {};
    // TLS sends no address as a name (RFC 6066): the certificate is checked for it all the same.
    const name = {
      servername: isIP(serverName) === 0 ? serverName : '',
      checkServerIdentity: (_: string, cert: PeerCertificate) =>
        checkServerIdentity(serverName, cert),
    };
    this.#agent = new Agent({ keepAlive: true, ...name, ...(ca && { ca }), ...proof });
  }

  /** @param path of a kubeconfig, where it is not the distribution's. @throws KleidiError refused, file-failed */
  static open(installation: Installation, path: string | undefined): ApiserverClient {
    const kubeconfig = readKubeconfig(
      installation.root,
      path ?? installation.distribution.kubeconfig,
    );
    return new ApiserverClient(ownAddress(installation, kubeconfig), kubeconfig);
  }

  /** The body of a good answer. @throws KleidiError apiserver-unreachable */
  async get(path: string): Promise<string> {
    const { status, body } = await this.call({ method: 'GET', path });
    if (status === 200) return body;
    throw this.unexpected(`GET ${path}`, status);
  }

  /** For an answer that a caller cannot go on with. */
  unexpected(what: string, status: number): KleidiError {
    const hint =
      status === 401 || status === 403
        ? 'the kubeconfig must be of an administrator: --kubeconfig FILE'
        : 'its log says why';
    return this.#failed(`it answers ${what} with ${status}`, hint);
  }

  /** Whatever the status is. @throws KleidiError apiserver-unreachable */
  async call({ method, path, body, accept }: Call): Promise<Reply> {
    const { login } = this.#kubeconfig;
    const headers = {
      ...(login.kind === 'token' && { authorization: `Bearer ${login.token}` }),
      ...(body && { 'content-type': 'application/json' }),
      ...(accept && { accept }),
    };
    const { host, port } = this.address;
    const to = { host, port, path, method, headers, agent: this.#agent };
    try {
      return await exchange(to, body);
    } catch (cause) {
      throw this.#failed(reasonOf(cause), 'does it run? its log says why; kleidi doctor', cause);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #failed(why: string, hint: string, cause?: unknown): KleidiError {
    const { host, port } = this.address;
    return new KleidiError(
      'apiserver-unreachable',
      `the API server of this host (${host}:${port}) cannot be asked: ${why}`,
      { hint, cause },
    );
  }
}

async function exchange(to: object, body: object | string | undefined): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request({ ...to, signal: AbortSignal.timeout(timeoutMs) }, resolve);
  sent.on('error', reject);
  sent.end(typeof body === 'object' ? JSON.stringify(body) : body);
  const response = await promise;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new Error(`its answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const afterS = Number(response.headers['retry-after']);
  return {
    status: response.statusCode ?? 0,
    body: Buffer.concat(chunks).toString(),
    retryAfterMs: afterS > 0 ? afterS * 1_000 : undefined,
  };
}
