// The files that take the longest of their stage, longest first: each is begun before the
// others, so that no stage ends with one long file alone on the machine. The order only;
// a file that is not named here is begun after them. `npm test` prints the longest of each
// stage, for this list.
const longestFirst: readonly string[] = [
  'test/keys/ceremonykilled.test.ts',
  'test/keys/losttoken.test.ts',
  'test/keys/pinsetkilled.test.ts',
  'test/keys/replacekilled.test.ts',
  'test/cluster/rotation.test.ts',
  'test/system/startloops-252.test.ts',
  'test/cluster/walks.test.ts',
  'test/cluster/restarts.test.ts',
  'test/system/startloops-257.test.ts',
  'test/cluster/rewrite.test.ts',
  'test/system/fleet.test.ts',
  'test/system/interrupted.test.ts',
  'test/cluster/sealed.test.ts',
  'test/vault/hostile.test.ts',
  'test/vault/cluster.test.ts',
  'test/ansible/masters.test.ts',
  'test/ansible/addmaster.test.ts',
  'test/ansible/rollout.test.ts',
  'test/ansible/faults.test.ts',
  'test/ansible/vault.test.ts',
  'test/ansible/down.test.ts',
  'test/ansible/preflight.test.ts',
];

export function longestFirstOf(files: readonly string[]): string[] {
  const rank = (file: string): number => {
    const at = longestFirst.indexOf(file);
    return at === -1 ? longestFirst.length : at;
  };
  return files.toSorted().toSorted((a, b) => rank(a) - rank(b));
}
