// Containers of kleidi's image by Debian's podman, with storage of its own in a folder, and
// with the options that docs/container.md has.
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { containerId, hostFolders } from '../../src/container/hostfolders.ts';
import { missingTool, skipReason } from './skip.ts';

/** crun refuses hosts that mix both versions of cgroups. */
const settings = `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=16384:16384", "nproc=1024:1024"]
`;

export interface ContainerResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function containersMissing(): string | false {
  if (process.getuid?.() !== 0)
    return skipReason('needs root, for podman without a user namespace');
  return missingTool('podman', 'runc');
}

export class ContainerHost {
  /** What stands for the root folder of the host. */
  readonly root: string;
  readonly #folder: string;

  readonly #version: string;

  /** @param folder removed by who made it, after this has let go of it */
  constructor(folder: string, version: string) {
    this.#version = version;
    this.#folder = folder;
    this.root = join(folder, 'host');
    for (const { path } of hostFolders) {
      mkdirSync(join(this.root, path), { recursive: true, mode: 0o755 });
      chownSync(join(this.root, path), containerId, containerId);
    }
    writeFileSync(join(this.root, 'etc/machine-id'), `${'1f'.repeat(16)}\n`);
    writeFileSync(join(folder, 'containers.conf'), settings);
    after(() => this.podman('rm', '--all', '--force', '--time=2'));
  }

  podman(...args: readonly string[]): ContainerResult {
    return this.podmanWith('', ...args);
  }

  podmanWith(input: string, ...args: readonly string[]): ContainerResult {
    const storage = ['root', 'runroot', 'tmpdir'].map(
      (name) => `--${name}=${this.#folder}/${name}`,
    );
    const { status, stdout, stderr } = spawnSync(
      'podman',
      [...storage, '--storage-driver=vfs', ...args],
      {
        input,
        encoding: 'utf8',
        timeout: 120_000,
        env: { ...process.env, CONTAINERS_CONF: join(this.#folder, 'containers.conf') },
      },
    );
    return { exitCode: status, stdout, stderr };
  }

  /** As the page loads it. */
  load(layout: string): ContainerResult {
    const archive = join(this.#folder, 'image.tar');
    execFileSync('tar', ['-C', layout, '-cf', archive, '.']);
    return this.podman('load', '--quiet', `--input=${archive}`);
  }

  /** As `podman run … provision` of the page. */
  command(...args: readonly string[]): ContainerResult {
    return this.podman(...this.#fromPage('provision'), ...args);
  }

  /** As `podman run … serve` of the page. */
  serve(): ContainerResult {
    return this.podman(...this.#fromPage('serve'), 'serve');
  }

  /** The page's words for this verb, without the verb, with the folders of this host. */
  #fromPage(verb: string): readonly string[] {
    const page = readFileSync('docs/container.md', 'utf8').replaceAll('\\\n', ' ');
    const [, words] = new RegExp(`^podman (run .*:VERSION) ${verb}$`, 'm').exec(page) ?? [];
    if (words === undefined) throw new Error(`docs/container.md has no podman run for ${verb}`);
    return words
      .split(/ +/)
      .map((word) =>
        word
          .replace(/^--volume=/, `--volume=${this.root}`)
          .replace(/:VERSION$/, `:${this.#version}`),
      );
  }
}
