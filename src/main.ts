// The table of verbs. Runs the one that is called, and turns what it throws into standard
// error and an exit code.
import type { Worker } from 'node:worker_threads';
import { describeVerbs } from './cli/describe.ts';
import { dispatch, summariesOf } from './cli/dispatch.ts';
import { itemList } from './cli/help.ts';
import type { Verbs } from './cli/verb.ts';
import { endWithReader, print, printError, printJson } from './terminal.ts';

const verbsWith = (worker?: Worker): Verbs => ({
  serve: async () => (await import('./cli/serve.ts')).serveWith(worker),
  provision: async () => (await import('./cli/provision.ts')).provision,
  status: async () => (await import('./cli/status.ts')).status,
  doctor: async () => (await import('./cli/doctor.ts')).doctor,
  'support-bundle': async () => (await import('./cli/supportbundle.ts')).supportBundle,
  config: async () => (await import('./cli/config.ts')).config,
  key: async () => (await import('./cli/groups.ts')).key,
  pin: async () => (await import('./cli/groups.ts')).pin,
  credential: async () => (await import('./cli/groups.ts')).credential,
  recovery: async () => (await import('./cli/groups.ts')).recovery,
  ring: async () => (await import('./cli/groups.ts')).ring,
  backup: async () => (await import('./cli/backup.ts')).backup,
  restore: async () => (await import('./cli/restore.ts')).restore,
  join: async () => (await import('./cli/join.ts')).join,
  apiserver: async () => (await import('./cli/groups.ts')).apiserver,
  snapshot: async () => (await import('./cli/groups.ts')).snapshot,
  vault: async () => (await import('./cli/groups.ts')).vault,
  tpm: async () => (await import('./cli/groups.ts')).tpm,
  manifests: async () => (await import('./cli/manifests.ts')).manifests,
  version: async () => (await import('./cli/version.ts')).version,
  'token-work': async () => (await import('./cli/internal.ts')).tokenWork,
  'take-folders': async () => (await import('./cli/internal.ts')).takeFolders,
  'verify-token': async () => (await import('./cli/internal.ts')).verifyToken,
});

async function help(verbs: Verbs): Promise<string> {
  return `usage: kleidi VERB [OPTIONS]

Keeps the keys that seal a Kubernetes cluster's Secrets (KMS v2).

${itemList(await summariesOf(verbs))}

Every verb has --help with an example (also: kleidi help VERB), --json where it
prints data, and --config FILE (default /etc/kleidi/kleidi.yaml).
Exit codes: 0 ok, 1 failed, 2 wrong use, 78 configuration.`;
}

async function run(verbs: Verbs, args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first !== 'serve') endWithReader();
  if (first === '--version' || first === '-V') return dispatch(verbs, ['version', ...rest]);
  if (first === 'help' && rest.includes('--json')) {
    printJson(await describeVerbs(verbs));
    return 0;
  }
  if (first === 'help' && rest.length > 0) return dispatch(verbs, [...rest, '--help']);
  if (first !== undefined && !['--help', '-h', 'help'].includes(first))
    return dispatch(verbs, args);
  print(await help(verbs));
  return first === undefined ? 2 : 0;
}

/**
 * @param worker for `serve`: a token thread that was begun before the program was loaded
 * @returns the exit code
 */
export async function main(args: readonly string[], worker?: Worker): Promise<number> {
  return run(verbsWith(worker), args).catch(printError);
}
