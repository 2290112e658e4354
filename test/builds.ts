// What tests need that takes minutes to make on a new machine: packages, the Go
// client on each Kubernetes line, kube-apiserver with etcd, Vault, the trees that
// hosts boot from. Each is kept in a cache by its sources. A stage of its own, so
// that no test's time is a build's time; a test that is run alone still makes what
// it lacks.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lines } from './support/kubeclient.ts';
import { baseTree, type Suite, whyNoHosts } from './support/systemhost.ts';

interface Build {
  readonly name: string;
  readonly command: readonly string[];
}

const suites: readonly Suite[] = ['bookworm', 'trixie'];

/** The longest first: two run at a time. */
const builds: readonly Build[] = [
  { name: 'kube-apiserver, kubectl and etcd', command: ['sh', 'test/cluster/build'] },
  { name: 'Vault', command: ['sh', 'test/vault/build'] },
  ...suites.map((suite) => ({
    name: `base tree of ${suite}`,
    command: [process.execPath, 'test/builds.ts', suite],
  })),
  ...lines.map((line) => ({
    name: `client of Kubernetes ${line}`,
    command: ['sh', 'test/kube/build', line],
  })),
  { name: 'h2spec', command: ['sh', 'test/http2spec/build'] },
  { name: 'second implementation of the formats', command: ['sh', 'test/formats/build'] },
  { name: 'Ansible', command: ['sh', 'test/ansible/build'] },
  { name: 'packages', command: ['npm', 'run', '--silent', 'package'] },
];

/** Makes all; what cannot be made here is told by the tests that need it. */
export async function buildAll(say: (text: string) => void): Promise<void> {
  const queue = [...builds];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await make(next, say);
  };
  await Promise.all([work(), work()]);
}

async function make({ name, command }: Build, say: (text: string) => void): Promise<void> {
  const startMs = performance.now();
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  say(`   ${name}: ${code === 0 ? 'there' : `NOT made (exit code ${code})`} after ${seconds} s`);
}

const [, script, suite] = process.argv;
if (script?.endsWith('test/builds.ts') && whyNoHosts() === undefined) {
  for (const each of suites.filter((name) => name === suite)) baseTree(each);
}
