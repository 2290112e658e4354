// A real Vault where a control plane has it: on an address that the hosts reach over the
// network, behind TLS. In memory; AppRole, and the policy that kleidi prints.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { policyOf } from '../../src/cli/vault/policy.ts';
import type { ClusterNetwork } from './clusternetwork.ts';
import { temporaryFolder } from './folder.ts';

const rootToken = 'root';

export class BridgeVault {
  /** Of the bridge. */
  readonly ip: string;
  readonly address: string;
  /** The CA of its certificate. */
  readonly ca: string;
  readonly #network: ClusterNetwork;
  readonly #binary: string;

  private constructor(network: ClusterNetwork, binary: string, folder: string, ip: string) {
    this.ip = ip;
    this.address = `https://${ip}:8200`;
    this.#network = network;
    this.#binary = binary;
    this.ca = join(folder, 'vault-ca.pem');
  }

  /** With a Transit key `kleidi`, and a policy that allows it. Gone at the end of the test file. */
  static async start(network: ClusterNetwork, binary: string): Promise<BridgeVault> {
    const folder = join(temporaryFolder(), 'tls');
    mkdirSync(folder);
    // What goes to an address of one's own goes over lo.
    network.run('ip', ['link', 'set', 'lo', 'up']);
    const ip = addressOfBridge(network);
    const tls = ['-dev-tls', `-dev-tls-cert-dir=${folder}`, `-dev-tls-san=${ip}`];
    const where = [`-dev-listen-address=${ip}:8200`, `-dev-root-token-id=${rootToken}`];
    const args = ['server', '-dev', '-dev-no-store-token', ...tls, ...where];
    const server = network.spawn(binary, args, { stdio: 'ignore' });
    after(() => server.kill('SIGKILL'));
    const vault = new BridgeVault(network, binary, folder, ip);
    await vault.#answers();
    vault.run('secrets', 'enable', 'transit');
    vault.run('write', '-f', 'transit/keys/kleidi', 'type=aes256-gcm96');
    vault.run('auth', 'enable', 'approle');
    vault.run('write', 'sys/policies/acl/kleidi', `policy=${policyOf('transit', 'kleidi')}`);
    return vault;
  }

  /** As root, by Vault's own command. @throws Error with its words */
  run(...args: readonly string[]): string {
    const env = { VAULT_ADDR: this.address, VAULT_CACERT: this.ca, VAULT_TOKEN: rootToken };
    return this.#network.run(this.#binary, args, env).toString().trim();
  }

  /**
   * Of each host its own: Vault's user lockout counts refused logins by role, and locks
   * out all that share it.
   * @returns the role id
   */
  newRole(host: string): string {
    this.run('write', `auth/approle/role/${host}`, 'token_policies=kleidi');
    return this.run('read', '-field=role_id', `auth/approle/role/${host}/role-id`);
  }

  newSecretId(host: string): string {
    return this.run('write', '-f', '-field=secret_id', `auth/approle/role/${host}/secret-id`);
  }

  /** No login with it any more. */
  revoke(host: string, secretId: string): void {
    this.run('write', `auth/approle/role/${host}/secret-id/destroy`, `secret_id=${secretId}`);
  }

  async #answers(): Promise<void> {
    const deadlineMs = Date.now() + 30_000;
    for (;;) {
      try {
        this.run('status');
        return;
      } catch (error) {
        if (Date.now() > deadlineMs) throw error;
      }
      await sleep(100);
    }
  }
}

function addressOfBridge(network: ClusterNetwork): string {
  const shown = network.run('ip', ['-json', '-4', 'address', 'show', 'dev', 'bridge']).toString();
  const [bridge] = JSON.parse(shown) as { addr_info: [{ local: string }] }[];
  return bridge?.addr_info[0].local ?? '';
}

/** The secret of each host, as an operator keeps it: a file that ansible-vault has encrypted. */
export function sealForAnsible(commands: string, file: string, password: string): void {
  const args = ['encrypt', '--vault-password-file', password, file];
  const { status, stderr } = spawnSync(join(commands, 'ansible-vault'), args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ansible-vault: ${stderr}`);
}
