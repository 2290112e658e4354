// Not for people: what commands and the daemon start to work in a token, one job as a JSON
// line on standard input, answers on standard output; and what a pod begins with.
import type { Internal } from './verb.ts';

export const tokenWork: Internal = {
  kind: 'internal',
  note: 'Used by provision, pin, key and snapshot; see there.',
  run: async () => (await import('../tokenchild/worker.ts')).workInToken(),
};

/** Never writes. */
export const verifyToken: Internal = {
  kind: 'internal',
  note: 'Used by the daemon; see kleidi serve.',
  run: async () => (await import('../tokenchild/verifier.ts')).verifyToken(),
};

/** In a pod, before all else: src/container/pod.ts. */
export const takeFolders: Internal = {
  kind: 'internal',
  note: 'Used by the pod of kleidi manifests; see there.',
  async run() {
    (await import('../container/hostfolders.ts')).takeFolders();
    return 0;
  },
};
