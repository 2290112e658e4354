// What kleidi asks of Vault, behind TLS, with real cryptography; and any one call
// can be answered with whatever a test wants. Counts the calls and what it sent.
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { after } from 'node:test';
import { makeCertificates } from './certificates.ts';
import { temporaryFolder } from './folder.ts';

export type Call = 'login' | 'lookup' | 'renew' | 'keys' | 'hmac' | 'encrypt' | 'decrypt';

type Fields = Readonly<Record<string, unknown>>;

/** @param good what a right answer would be */
export type Bad = (response: ServerResponse, good: Fields) => void;

interface Refusal {
  readonly status: number;
  readonly errors: readonly string[];
}

const paths: Readonly<Record<string, Call>> = {
  '/v1/auth/approle/login': 'login',
  '/v1/auth/token/lookup-self': 'lookup',
  '/v1/auth/token/renew-self': 'renew',
  '/v1/transit/keys/kleidi': 'keys',
  '/v1/transit/hmac/kleidi/sha2-256': 'hmac',
  '/v1/transit/encrypt/kleidi': 'encrypt',
  '/v1/transit/decrypt/kleidi': 'decrypt',
};

export class HostileVault {
  readonly ca: string;
  readonly counts = new Map<Call, number>();
  readonly #server: Server;
  readonly #bad = new Map<Call, Bad>();
  /** Tokens that it takes. */
  readonly tokens = new Set<string>();
  isLoginRefused = false;
  lease = { lease_duration: 3_600, renewable: true };
  versions: number[] = [1];
  minDecryption = 1;
  minEncryption = 0;
  /** The key material hangs on it: another one is a key that was made anew. */
  birth = 'first';
  bytesSent = 0;

  private constructor(folder: string) {
    const file = (name: string): string => readFileSync(join(folder, name), 'utf8');
    this.ca = file('ca.pem');
    this.#server = createServer(
      { cert: file('server.pem'), key: file('server.key') },
      (request, response) => void this.#take(request, response),
    );
  }

  static async start(): Promise<HostileVault> {
    const folder = temporaryFolder();
    makeCertificates(folder);
    const vault = new HostileVault(folder);
    await new Promise<void>((resolve) => vault.#server.listen(0, 'localhost', resolve));
    after(() => {
      vault.#server.closeAllConnections();
      vault.#server.close();
    });
    return vault;
  }

  get address(): string {
    const address = this.#server.address();
    return `https://localhost:${typeof address === 'object' ? address?.port : 0}`;
  }

  count(call: Call): number {
    return this.counts.get(call) ?? 0;
  }

  answerBadly(call: Call, bad: Bad): void {
    this.#bad.set(call, bad);
  }

  answerWell(): void {
    this.#bad.clear();
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    const call = paths[request.url ?? ''];
    if (call === undefined) return refuse(response, { status: 404, errors: [] });
    this.counts.set(call, this.count(call) + 1);
    const good = this.#answer(call, request, (body === '' ? {} : JSON.parse(body)) as Fields);
    const bad = this.#bad.get(call);
    response.on('close', () => {
      this.bytesSent += response.socket?.bytesWritten ?? 0;
    });
    if (bad !== undefined) return bad(response, good as Fields);
    if (isRefusal(good)) return refuse(response, good);
    sendJson(response, good);
  }

  #answer(call: Call, request: IncomingMessage, body: Fields): Fields | Refusal {
    const token = String(request.headers['x-vault-token']);
    if (call === 'login') return this.#logIn();
    if (!this.tokens.has(token)) return { status: 403, errors: ['permission denied'] };
    switch (call) {
      case 'lookup':
        return { data: { ttl: this.lease.lease_duration, renewable: this.lease.renewable } };
      case 'renew':
        return { auth: { client_token: token, ...this.lease } };
      case 'keys':
        return { data: this.#metadata() };
      default:
        return this.#compute(call, body);
    }
  }

  #logIn(): Fields | Refusal {
    if (this.isLoginRefused) return { status: 400, errors: ['invalid role or secret ID'] };
    const token = `hvs.${randomBytes(12).toString('hex')}`;
    this.tokens.add(token);
    return { auth: { client_token: token, ...this.lease } };
  }

  #metadata(): Fields {
    return {
      type: 'aes256-gcm96',
      derived: false,
      exportable: false,
      allow_plaintext_backup: false,
      deletion_allowed: false,
      latest_version: Math.max(...this.versions),
      min_decryption_version: this.minDecryption,
      min_encryption_version: this.minEncryption,
      keys: Object.fromEntries(
        this.versions.filter((each) => each >= this.minDecryption).map((each) => [each, 1]),
      ),
    };
  }

  #compute(call: 'hmac' | 'encrypt' | 'decrypt', body: Fields): Fields | Refusal {
    const [, sealedBy = ''] = String(body['ciphertext']).split(':');
    const version = call === 'decrypt' ? Number(sealedBy.slice(1)) : Number(body['key_version']);
    const least = call === 'decrypt' ? this.minDecryption : this.minEncryption;
    if (version < least) {
      return { status: 400, errors: ['version is too old (disallowed by policy)'] };
    }
    const key = createHmac('sha256', this.birth).update(`${version}`).digest();
    const aad = Buffer.from(String(body['associated_data']), 'base64');
    const bytes = (name: string): Buffer => Buffer.from(String(body[name]), 'base64');
    if (call === 'hmac') {
      const mac = createHmac('sha256', key).update(bytes('input')).digest('base64');
      return { data: { hmac: `vault:v${version}:${mac}` } };
    }
    if (call === 'encrypt') {
      const sealed = seal(key, bytes('plaintext'), aad).toString('base64');
      return { data: { ciphertext: `vault:v${version}:${sealed}` } };
    }
    const plaintext = open(key, String(body['ciphertext']), aad);
    if (plaintext !== undefined) return { data: { plaintext: plaintext.toString('base64') } };
    return { status: 400, errors: ['cipher: message authentication failed'] };
  }
}

export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, { status, errors }: Refusal): void {
  sendJson(response, { errors }, status);
}

function isRefusal(answer: Fields | Refusal): answer is Refusal {
  return typeof answer['status' as keyof typeof answer] === 'number';
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function seal(key: Buffer, plaintext: Buffer, aad: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(aad);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([nonce, body, cipher.getAuthTag()]);
}

function open(key: Buffer, ciphertext: string, aad: Buffer): Buffer | undefined {
  const sealed = Buffer.from(ciphertext.split(':')[2] ?? '', 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12)).setAAD(aad);
  decipher.setAuthTag(sealed.subarray(-16));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
  } catch {
    return undefined;
  }
}
