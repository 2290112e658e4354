// A host with kubeadm's kube-apiserver, below a folder that stands for /. Its
// kubectl is a script that keeps the one ConfigMap in a file; there is no cluster.
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { clusterUid } from './apiobjects.ts';
import { TestHost } from './host.ts';
import type { Result, RunOptions } from './kleidi.ts';

/** the UID of kube-system, and get and patch, as kleidi calls them; each patch notes whether the static pod is as it was. */
const kubectl = `#!/usr/bin/env python3
import json, os, sys
store = os.environ['KUBECTL_STORE']
held = json.load(open(store))
if 'namespace' in sys.argv:
    print(held['uid'], end='')
elif 'get' in sys.argv:
    print(json.dumps({'metadata': {'resourceVersion': str(held['version'])}, 'data': {'ClusterConfiguration': held['text']}}))
else:
    patch = json.load(sys.stdin)
    if patch['metadata']['resourceVersion'] != str(held['version']):
        sys.exit('the object has been modified')
    held['pods'].append(open(os.environ['KUBECTL_POD']).read())
    held['text'] = patch['data']['ClusterConfiguration']
    held['version'] += 1
    json.dump(held, open(store, 'w'))
`;

interface Store {
  readonly text: string;
  /** The static pod at the time of each patch. */
  readonly pods: readonly string[];
}

export class ApiserverHost {
  readonly host: TestHost;
  readonly root: string;
  readonly manifest: string;
  readonly configuration: string;
  readonly original: string;
  readonly #store: string;

  private constructor(host: TestHost) {
    this.host = host;
    this.root = join(host.folder, 'root');
    this.manifest = join(this.root, 'etc/kubernetes/manifests/kube-apiserver.yaml');
    this.configuration = join(this.root, host.folder, 'encryption-config.yaml');
    this.#store = join(host.folder, 'configmap.json');
    mkdirSync(dirname(this.manifest), { recursive: true });
    cpSync('test/vectors/apiserver/kubeadm/manifest.yaml', this.manifest);
    this.original = readFileSync(this.manifest, 'utf8');
  }

  /** Provisioned and serving. */
  static async serving(): Promise<ApiserverHost> {
    const host = await TestHost.provisioned();
    await host.serve();
    return new ApiserverHost(host);
  }

  run(...args: string[]): Promise<Result> {
    return this.runWith({}, ...args);
  }

  runWith(options: RunOptions, ...args: string[]): Promise<Result> {
    const env = {
      PATH: `${join(this.host.folder, 'bin')}:${process.env['PATH']}`,
      KUBECTL_STORE: this.#store,
      KUBECTL_POD: this.manifest,
      ...options.env,
    };
    return this.host.runWith({ ...options, env }, 'apiserver', ...args, '--root', this.root);
  }

  /** A cluster that kubectl reaches, with this ClusterConfiguration. */
  connect(text: string): void {
    const bin = join(this.host.folder, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'kubectl'), kubectl);
    chmodSync(join(bin, 'kubectl'), 0o755);
    writeFileSync(join(this.root, 'etc/kubernetes/admin.conf'), '');
    writeFileSync(this.#store, JSON.stringify({ text, version: 1, pods: [], uid: clusterUid }));
  }

  get cluster(): Store {
    return JSON.parse(readFileSync(this.#store, 'utf8')) as Store;
  }

  /** What a kubelet would see in its folder. */
  get pods(): string[] {
    return readdirSync(dirname(this.manifest)).filter((name) => !name.startsWith('.'));
  }

  get text(): string {
    return readFileSync(this.manifest, 'utf8');
  }
}
