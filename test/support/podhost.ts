// A host on which podman plays kleidi's static pod as the kubelet would.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { hostFolders } from '../../src/container/hostfolders.ts';
import { ContainerHost, type ContainerResult, containersMissing } from './container.ts';
import { kleidi } from './kleidi.ts';
import { missingTool } from './skip.ts';

export const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

export function podsMissing(): string | false {
  return (
    containersMissing() || missingTool('catatonit', 'apt-get', 'apt-cache', 'dpkg-deb', 'objdump')
  );
}

/** Builds the image. @returns its layout */
export function imageIn(folder: string): string {
  const layout = join(folder, 'image');
  execFileSync('npm', ['run', '--silent', 'image', '--', '--out', layout], { stdio: 'ignore' });
  return layout;
}

interface Pod {
  readonly metadata: { annotations?: object };
  readonly spec: {
    restartPolicy?: string;
    readonly initContainers: readonly { readonly args: readonly string[] }[];
    readonly containers: readonly Record<
      string,
      { readonly exec: { readonly command: readonly string[] } } | undefined
    >[];
    readonly volumes: readonly { readonly hostPath: { path: string } }[];
  };
}

export class PodHost extends ContainerHost {
  readonly #manifest: string;
  /** The commands of its probes. */
  readonly probes: readonly (readonly string[])[];
  /** What the container that takes the folders calls. */
  readonly taker: readonly string[];

  private constructor(folder: string, pod: Pod) {
    super(folder, version);
    this.#manifest = join(folder, 'kleidi.yaml');
    // As the kubelet leaves them.
    for (const { path } of hostFolders) {
      rmSync(join(this.root, path), { recursive: true });
      mkdirSync(join(this.root, path), { mode: 0o755 });
    }
    for (const { hostPath } of pod.spec.volumes) hostPath.path = join(this.root, hostPath.path);
    this.probes = takeProbes(pod);
    this.taker = pod.spec.initContainers[0]?.args ?? [];
    writeFileSync(this.#manifest, stringify(pod));
  }

  /**
   * With the image. @param folder removed by who made it, after this has let go of it
   * @param args of kleidi manifests
   */
  static async make(folder: string, layout: string, ...args: string[]): Promise<PodHost> {
    mkdirSync(folder);
    const host = new PodHost(folder, await podFor(args));
    const loaded = host.load(layout);
    assert.equal(loaded.exitCode, 0, loaded.stderr);
    return host;
  }

  get socket(): string {
    return join(this.root, 'run/kleidi/kms.sock');
  }

  /** In the place of what is played already. Serves afterwards. */
  async play(): Promise<void> {
    const words = ['play', 'kube', '--network=none', '--quiet', '--replace', this.#manifest];
    const played = this.podman(...words);
    assert.equal(played.exitCode, 0, played.stderr);
    for (let i = 0; i < 500 && !existsSync(this.socket); i += 1) await sleep(20);
  }

  end(): ContainerResult {
    return this.podman('pod', 'rm', '--force', '--all', '--time=10');
  }
}

/** Its `once` containers podman 4.3 may remove while they run, so that they stay. */
async function podFor(args: readonly string[]): Promise<Pod> {
  const { stdout } = await kleidi(['manifests', '--kind', 'static-pod', ...args]);
  const pod = parse(stdout) as Pod;
  pod.metadata.annotations = { 'io.podman.annotations.init.container.type': 'always' };
  pod.spec.restartPolicy = 'OnFailure';
  return pod;
}

/** For which podman wants systemd. */
function takeProbes({ spec }: Pod): (readonly string[])[] {
  const probes = spec.containers.flatMap((container) =>
    ['livenessProbe', 'readinessProbe'].flatMap((name) => {
      const found = container[name];
      delete container[name];
      return found === undefined ? [] : [found.exec.command];
    }),
  );
  assert.equal(probes.length, 2);
  return probes;
}
