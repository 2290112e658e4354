// HTTP to Vault: one pool of connections an address, the address that answered
// last first, the next where one cannot be reached. The owner of undici. TLS is
// always checked: there is no switch to leave that out.
import { Agent, type Dispatcher, request } from 'undici';
import { KleidiError, reasonOf } from '../../errors.ts';
import { recordIn } from '../../jsonvalue.ts';
import type { Answer } from './answers.ts';
import type { VaultSettings } from './configured.ts';
import { refusal } from './refusals.ts';

interface HttpSettings {
  readonly addresses: readonly string[];
  readonly namespace: string;
  readonly ca: string | undefined;
  readonly certificate?: string;
  readonly key?: string;
}

export interface Ask {
  readonly method: 'GET' | 'POST';
  /** Below /v1/. */
  readonly path: string;
  readonly body?: object;
  readonly token?: string;
  readonly timeoutMs: number;
  /** Of the answer's body; default 64 KiB. */
  readonly maxBodyBytes?: number;
}

/** Above what 8 callers and the background need; more would only queue at the server. */
const connectionsPerAddress = 16;
const connectTimeoutMs = 1_000;
/** A login's answer with long policies has some KiB, all others less. */
const usualBodyBytes = 65_536;

export class VaultHttp {
  readonly #settings: HttpSettings;
  readonly #agent: Agent;
  #preferred = 0;

  constructor(settings: HttpSettings) {
    const { ca, certificate, key } = settings;
    this.#settings = settings;
    this.#agent = new Agent({
      connections: connectionsPerAddress,
      pipelining: 1,
      connect: {
        timeout: connectTimeoutMs,
        minVersion: 'TLSv1.2',
        // Said by name: NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment is the default else.
        rejectUnauthorized: true,
        ...(ca === undefined ? {} : { ca }),
        ...(certificate === undefined ? {} : { cert: certificate, key }),
      },
    });
  }

  /** Connects to nothing yet. @throws KleidiError where the key of the certificate cannot be read */
  static async open({
    auth,
    addresses,
    namespace,
    ca,
  }: Pick<VaultSettings, 'auth' | 'addresses' | 'namespace' | 'ca'>): Promise<VaultHttp> {
    const client =
      auth.method === 'cert' ? { certificate: auth.certificate, key: await auth.key() } : {};
    return new VaultHttp({ addresses, namespace, ca, ...client });
  }

  /**
   * Asks the address that answered last; the others where it cannot be reached,
   * is sealed or in standby.
   * @throws KleidiError vault-*
   */
  async ask(ask: Ask): Promise<Answer> {
    const deadlineMs = performance.now() + ask.timeoutMs;
    const { addresses } = this.#settings;
    let last: KleidiError | undefined;
    for (let tried = 0; tried < addresses.length; tried += 1) {
      const index = (this.#preferred + tried) % addresses.length;
      const leftMs = Math.ceil(deadlineMs - performance.now());
      if (leftMs <= 0) break;
      try {
        const answer = await this.#askOne(addresses[index] ?? '', { ...ask, timeoutMs: leftMs });
        this.#preferred = index;
        return answer;
      } catch (thrown) {
        last = KleidiError.from(thrown);
        if (last.code !== 'vault-unreachable' && last.code !== 'vault-sealed') throw last;
      }
    }
    throw last ?? unreachable(addresses.join(', '), new Error('no time left'));
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #askOne(address: string, ask: Ask): Promise<Answer> {
    const where = `${address}/v1/${ask.path}`;
    const { statusCode, body } = await this.#send(address, ask);
    const text = await readBody(body, ask.maxBodyBytes ?? usualBodyBytes).catch((cause) => {
      throw unreachable(address, cause);
    });
    if (text === undefined) throw tooLong(where);
    if (statusCode === 204) return {};
    const answer = recordIn(text);
    if (statusCode === 200 && answer !== undefined) return answer;
    throw refusal(where, statusCode, answer, secretsOf(ask));
  }

  async #send(address: string, ask: Ask): Promise<Dispatcher.ResponseData> {
    const { method, path, body, token, timeoutMs } = ask;
    const { namespace } = this.#settings;
    try {
      return await request(`${address}/v1/${path}`, {
        dispatcher: this.#agent,
        method,
        headers: {
          'x-vault-request': 'true',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === undefined ? {} : { 'x-vault-token': token }),
          ...(namespace === '' ? {} : { 'x-vault-namespace': namespace }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (cause) {
      throw unreachable(address, cause);
    }
  }
}

/** Undefined where it is longer: the rest is not read, and the connection is closed. */
async function readBody(
  body: Dispatcher.ResponseData['body'],
  maxBytes: number,
): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Leaving the loop destroys the body.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What no message may show, should an answer repeat its request. */
function secretsOf({ token, body = {} }: Ask): string[] {
  const named = new Map<string, unknown>(Object.entries(body));
  const values = [token, ...['secret_id', 'jwt', 'plaintext'].map((name) => named.get(name))];
  return values.filter((value) => typeof value === 'string' && value !== '') as string[];
}

function tooLong(where: string): KleidiError {
  return new KleidiError('vault-failed', `${where} answers with more than its API ever does`, {
    hint: 'check vault.address: something else answers there',
  });
}

/** Names the address, never the request: its body may hold a secret. */
function unreachable(address: string, cause: unknown): KleidiError {
  const why = whyNoAnswer(cause);
  const certificate = /certificate|CERT_|self.signed|altname/i.test(why);
  return new KleidiError('vault-unreachable', `Vault at ${address} cannot be reached: ${why}`, {
    hint: certificate
      ? "check vault.caFile and the validity and names of the server certificate (and this host's clock)"
      : 'check that the server runs, vault.address, the network, and IPAddressAllow= of the vault drop-in',
    cause: new Error(why),
  });
}

function whyNoAnswer(cause: unknown): string {
  if (!(cause instanceof Error)) return reasonOf(cause);
  if (cause.name === 'TimeoutError' || cause.name === 'AbortError') return 'no answer in time';
  const code = 'code' in cause ? `${cause.code}: ` : '';
  return `${code}${reasonOf(cause)}`;
}
