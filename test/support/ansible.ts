// The collection as an operator uses it: ansible-playbook over ssh, as an ordinary user
// with sudo, on booted hosts. They have no network: ssh goes into the namespace of each.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RecoveryFiles } from './ceremony.ts';
import { temporaryFolder } from './folder.ts';
import { builtPackage } from './packages.ts';
import type { SystemHost } from './systemhost.ts';

const user = 'ops';
const repository = fileURLToPath(new URL('../..', import.meta.url));

export interface Played {
  readonly exitCode: number | null;
  readonly output: string;
  /** By host: how many tasks have changed something. */
  readonly changed: Readonly<Record<string, number>>;
}

/** For benches: what stands before each command, and who sees it run and speak. */
export interface Watcher {
  readonly before: readonly string[];
  readonly started: (child: ChildProcess) => void;
  readonly said: (text: string) => void;
}

/** The folder of Ansible's commands; made in a minute the first time. */
export function ansibleCommands(): string {
  const made = spawnSync(join(repository, 'test/ansible/build'), { encoding: 'utf8' });
  if (made.status === 0) return made.stdout.trim();
  throw new Error(`no Ansible: ${made.stderr}`);
}

export type Variables = Readonly<Record<string, unknown>>;

/** What every roll-out names: this tree's package, and a recovery key. */
export function rolloutSettings({ pub, sha256 }: RecoveryFiles): Variables {
  return {
    kleidi_package: builtPackage('deb'),
    kleidi_recovery_public_key: pub,
    kleidi_recovery_sha256: sha256,
  };
}

export class Controller {
  readonly folder = temporaryFolder();
  /** By host: variables of its own, from the next play on. */
  readonly ofHost = new Map<string, Variables>();
  /** Hosts that the inventory does not have yet. */
  readonly notYet = new Set<string>();
  /** Those of them that are in the group kleidi_prometheus too. */
  readonly prometheus = new Set<string>();
  /** Hosts that are asked at once. */
  forks = 3;
  watcher: Watcher | undefined;
  readonly #commands = ansibleCommands();
  readonly #hosts: ReadonlyMap<string, SystemHost>;

  /** @param hosts the masters, by the names of the inventory, in its order */
  constructor(hosts: ReadonlyMap<string, SystemHost>) {
    this.#hosts = hosts;
    const home = join(this.folder, 'collections/ansible_collections/kleidi');
    mkdirSync(home, { recursive: true });
    symlinkSync(join(repository, 'ansible'), join(home, 'kleidi'));
    const key = join(this.folder, 'id');
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const authorized = readFileSync(`${key}.pub`, 'utf8');
    for (const host of hosts.values()) admit(host, authorized);
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** @param variables of all masters */
  async play(playbook: string, variables: Variables, ...more: readonly string[]): Promise<Played> {
    this.#writeSettings(variables);
    const name = `kleidi.kleidi.${playbook}`;
    const inventory = join(this.folder, 'inventory.json');
    return this.run('ansible-playbook', '-i', inventory, name, ...more);
  }

  /** As `play`, of one that must come to its end. */
  async complete(
    playbook: string,
    variables: Variables,
    ...more: readonly string[]
  ): Promise<Played> {
    const played = await this.play(playbook, variables, ...more);
    assert.equal(played.exitCode, 0, played.output);
    return played;
  }

  async run(command: string, ...args: readonly string[]): Promise<Played> {
    const [program = '', ...rest] = [
      ...(this.watcher?.before ?? []),
      join(this.#commands, command),
      ...args,
    ];
    const child = spawn(program, rest, {
      cwd: this.folder,
      env: {
        PATH: `${this.#commands}:${process.env['PATH']}`,
        HOME: this.folder,
        LANG: 'C.UTF-8',
        ANSIBLE_COLLECTIONS_PATH: join(this.folder, 'collections'),
        ANSIBLE_NOCOLOR: '1',
        ANSIBLE_SSH_ARGS: `-F ${join(this.folder, 'ssh_config')}`,
        ANSIBLE_FORKS: String(this.forks),
        ANSIBLE_PIPELINING: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.watcher?.started(child);
    const parts: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (part: Buffer) => {
        parts.push(part);
        this.watcher?.said(part.toString());
      });
    }
    const [exitCode] = (await once(child, 'close')) as [number | null];
    const output = Buffer.concat(parts).toString();
    return { exitCode, output, changed: changedIn(output) };
  }

  #writeSettings(variables: Variables): void {
    const names = [...this.#hosts.keys()].filter((name) => !this.notYet.has(name));
    const hosts = Object.fromEntries(names.map((name) => [name, this.ofHost.get(name) ?? {}]));
    const access = {
      ansible_user: user,
      ansible_become: true,
      ansible_python_interpreter: '/usr/bin/python3',
    };
    const vars = { ...access, ...variables };
    const groups = { kleidi_masters: { hosts, vars }, ...this.#prometheusGroup() };
    this.write('inventory.json', JSON.stringify(groups));
    const entries = [...this.#hosts].map(([name, host]) => sshEntry(this.folder, name, host));
    this.write('ssh_config', entries.join('\n'));
  }

  #prometheusGroup(): object {
    if (this.prometheus.size === 0) return {};
    const hosts = Object.fromEntries([...this.prometheus].map((name) => [name, {}]));
    return { kleidi_prometheus: { hosts } };
  }
}

function admit(host: SystemHost, authorized: string): void {
  host.sh(`id ${user} 2>/dev/null || useradd --create-home --shell /bin/bash ${user}`);
  host.write(`/home/${user}/.ssh/authorized_keys`, authorized, 0o600);
  host.sh(`chown -R ${user}: /home/${user}/.ssh && chmod 700 /home/${user}/.ssh`);
  host.write(`/etc/sudoers.d/${user}`, `${user} ALL=(ALL) NOPASSWD:ALL\n`, 0o440);
  host.sh('systemctl start ssh');
}

/** The process that is the host's first is another one after a reboot. */
function sshEntry(folder: string, name: string, host: SystemHost): string {
  const [, pid = ''] = host.enter();
  const relay = `exec 3<>/dev/tcp/127.0.0.1/22; cat <&3 & cat >&3; kill $!`;
  return [
    `Host ${name}`,
    `  ProxyCommand nsenter -t ${pid} -n bash -c '${relay}'`,
    `  IdentityFile ${folder}/id`,
    `  UserKnownHostsFile ${folder}/known_hosts`,
    `  HostKeyAlias ${name}`,
    '  StrictHostKeyChecking accept-new',
    '  ControlMaster auto',
    '  ControlPersist 30',
    `  ControlPath ${folder}/%C`,
  ].join('\n');
}

function changedIn(output: string): Record<string, number> {
  const recap = output.slice(output.lastIndexOf('PLAY RECAP'));
  const lines = recap.matchAll(/^(\S+)\s+: ok=\d+\s+changed=(\d+)/gm);
  return Object.fromEntries([...lines].map(([, host = '', count]) => [host, Number(count)]));
}

/** Below a folder, by what they hold. */
export function filesWith(folder: string, text: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => existsSync(path) && readFileSync(path).includes(text));
}
