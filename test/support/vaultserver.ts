// A real Vault, built from its Go module by test/vault/build, on a port and a
// folder of its own: raft storage, so that it can be sealed, killed and started.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeCertificates } from './certificates.ts';
import { temporaryFolder } from './folder.ts';

const build = fileURLToPath(new URL('../vault/build', import.meta.url));

type Reply = Readonly<Record<string, unknown>>;

/** Path of the server's binary, or why there is none. */
export function vaultBinary(): { readonly path: string } | { readonly reason: string } {
  const built = spawnSync('sh', [build], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 1_500_000 });
  if (built.status === 0) return { path: built.stdout.toString().trim() };
  return { reason: built.stderr.toString().trim().split('\n').at(-1) ?? 'Vault cannot be built' };
}

/** Defines tests that need a server; one skipped test with the reason where there is none. */
export async function onVault(
  define: (server: VaultServer, binary: string) => Promise<void>,
): Promise<void> {
  const binary = vaultBinary();
  if ('path' in binary) return define(await VaultServer.start(binary.path), binary.path);
  if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${binary.reason}`);
  test('vault', { skip: binary.reason }, () => undefined);
}

export class VaultServer {
  readonly address: string;
  /** The same server behind TLS, by a CA of its own: `ca.pem` in its folder. */
  readonly tlsAddress: string;
  readonly folder = temporaryFolder();
  readonly #binary: string;
  #process: ChildProcess | undefined;
  #unsealKey = '';
  rootToken = '';

  private constructor(binary: string, port: number) {
    this.#binary = binary;
    this.address = `http://127.0.0.1:${port}`;
    this.tlsAddress = `https://localhost:${port + 2}`;
  }

  /** Initialised, unsealed, with a Transit key `kleidi`. */
  static async start(binary: string): Promise<VaultServer> {
    const server = new VaultServer(binary, await freePort());
    after(() => server.kill());
    server.#configure();
    await server.run();
    const made = await server.ask('PUT', 'sys/init', { secret_shares: 1, secret_threshold: 1 });
    server.#unsealKey = (made['keys'] as string[])[0] ?? '';
    server.rootToken = String(made['root_token']);
    await server.unseal();
    await server.ask('POST', 'sys/mounts/transit', { type: 'transit' });
    await server.ask('POST', 'transit/keys/kleidi', { type: 'aes256-gcm96' });
    return server;
  }

  /** Another node of the same cluster, unsealed and caught up. */
  static async join(binary: string, leader: VaultServer): Promise<VaultServer> {
    const server = new VaultServer(binary, await freePort());
    after(() => server.kill());
    server.#configure();
    await server.run();
    await server.ask('PUT', 'sys/storage/raft/join', { leader_api_addr: leader.address });
    server.#unsealKey = leader.#unsealKey;
    server.rootToken = leader.rootToken;
    await server.ask('PUT', 'sys/unseal', { key: server.#unsealKey });
    const deadlineMs = Date.now() + 30_000;
    // 429: an unsealed standby.
    while ((await server.status()) !== 429 && Date.now() < deadlineMs) await sleep(100);
    return server;
  }

  /** Starts the process; sealed where it was initialised before. */
  async run(): Promise<void> {
    const args = ['server', '-config', join(this.folder, 'vault.hcl')];
    this.#process = spawn(this.#binary, args, { stdio: 'ignore' });
    const deadlineMs = Date.now() + 30_000;
    while (Date.now() < deadlineMs) {
      if (
        await this.status().then(
          () => true,
          () => false,
        )
      )
        return;
      await sleep(100);
    }
    throw new Error('Vault does not start');
  }

  async unseal(): Promise<void> {
    await this.ask('PUT', 'sys/unseal', { key: this.#unsealKey });
    const deadlineMs = Date.now() + 30_000;
    while ((await this.status()) !== 200 && Date.now() < deadlineMs) await sleep(100);
  }

  async seal(): Promise<void> {
    await this.ask('PUT', 'sys/seal');
  }

  /** As a power cut. */
  async kill(): Promise<void> {
    const process_ = this.#process;
    if (process_ === undefined || process_.exitCode !== null) return;
    const gone = new Promise((resolve) => process_.once('exit', resolve));
    process_.kill('SIGKILL');
    await gone;
    this.#process = undefined;
  }

  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** 200: active and unsealed. */
  async status(): Promise<number> {
    return (await fetch(`${this.address}/v1/sys/health`)).status;
  }

  /** As root. @throws Error with Vault's own words */
  async ask(method: string, path: string, body?: object, token = this.rootToken): Promise<Reply> {
    const reply = await fetch(`${this.address}/v1/${path}`, {
      method,
      headers: { 'x-vault-token': token, 'x-vault-request': 'true' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await reply.text();
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Reply);
  }

  #configure(): void {
    mkdirSync(join(this.folder, 'raft'));
    makeCertificates(this.folder);
    const port = Number(new URL(this.address).port);
    writeFileSync(
      join(this.folder, 'vault.hcl'),
      `storage "raft" { path = "${join(this.folder, 'raft')}"
  node_id = "${port}" }
listener "tcp" { address = "127.0.0.1:${port}"
  tls_disable = true }
listener "tcp" { address = "127.0.0.1:${port + 2}"
  tls_cert_file = "${join(this.folder, 'server.pem')}"
  tls_key_file = "${join(this.folder, 'server.key')}" }
cluster_addr = "http://127.0.0.1:${port + 1}"
api_addr = "${this.address}"
disable_mlock = true
log_level = "error"
`,
    );
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}
