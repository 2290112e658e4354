// Finds the verb, runs it, turns what it throws into standard error and an exit
// code. Each verb is loaded only when it is called.

import { describeVerbs } from './cli/describe.ts';
import type { Actions } from './cli/verb.ts';
import { usage } from './errors.ts';
import { endWithReader, print, printError, printJson } from './terminal.ts';

const verbs: Actions = {
  serve: async () => (await import('./cli/serve.ts')).serve,
  provision: async () => (await import('./cli/provision.ts')).provision,
  status: async () => (await import('./cli/status.ts')).status,
  doctor: async () => (await import('./cli/doctor.ts')).doctor,
  config: async () => (await import('./cli/config.ts')).config,
  key: async () => (await import('./cli/key.ts')).key,
  recovery: async () => (await import('./cli/recovery.ts')).recovery,
  ring: async () => (await import('./cli/ring.ts')).ring,
  backup: async () => (await import('./cli/backup.ts')).backup,
  restore: async () => (await import('./cli/restore.ts')).restore,
  join: async () => (await import('./cli/join.ts')).join,
  apiserver: async () => (await import('./cli/apiserver.ts')).apiserver,
  snapshot: async () => (await import('./cli/snapshot.ts')).snapshot,
  vault: async () => (await import('./cli/vault.ts')).vault,
  version: async () => (await import('./cli/version.ts')).version,
  'token-work': async () => (await import('./cli/tokenwork.ts')).tokenWork,
  'verify-token': async () => (await import('./cli/verifytoken.ts')).verifyToken,
};

const help = `usage: kleidi VERB [OPTIONS]

Keeps the keys that seal a Kubernetes cluster's Secrets (KMS v2).

  serve                the daemon
  provision            PINs, token, ring and first KEK on this host
  status               what the running daemon knows of itself
  doctor               what is wrong on this host, and what to do
  config check|print   the configuration
  key ACTION           KEKs: request, create, import, list, promote, retire, destroy
  recovery ACTION      the offline recovery key: create, test, rewrap
  ring ACTION          show, digest to compare hosts by, export, adopt
  backup               ring, bundles and configuration in one file
  restore              ring, bundles and configuration from a backup
  join                 KEKs and ring of a bundle, on a host that follows
  apiserver …          make kube-apiserver use kleidi, phase by phase, and undo it
  snapshot scan        what an etcd snapshot is sealed with, and can this ring open it
  vault policy|record  the least policy for Vault; texts to know its KEKs again by
  version              kleidi, Node, OpenSSL, module

Every verb has --help with an example, --json where it prints data, and
--config FILE (default /etc/kleidi/kleidi.yaml).
Exit codes: 0 ok, 1 failed, 2 wrong use, 78 configuration.`;

async function run(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === 'help' && rest.includes('--json')) {
    printJson(await describeVerbs(verbs));
    return 0;
  }
  if (first === undefined || first === '--help' || first === 'help') {
    print(help);
    return first === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(verbs, first) ? verbs[first] : undefined;
  if (load === undefined) throw usage(`unknown verb '${first}'`);
  if (first !== 'serve') endWithReader();
  const verb = await load();
  const helpWanted = verb.actions !== undefined ? rest.slice(0, 1) : rest;
  if (helpWanted.includes('--help') || helpWanted.includes('-h')) {
    print(verb.help);
    return 0;
  }
  return verb.run(rest);
}

/** @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  return run(args).catch(printError);
}
