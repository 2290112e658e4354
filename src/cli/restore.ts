// kleidi restore: ring, recovery bundles and configuration from a backup. Never
// lowers a generation, and replaces no file but the ring.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { awaitDaemon, stateIfAny } from '../admin/follow.ts';
import { parseExpected, requireExpected } from '../admin/ring/expecteddigest.ts';
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { writeNewFile } from '../files.ts';
import { type Backup, parseBackup, type RestoreWish } from '../keyring/backup.ts';
import type { Ring } from '../keyring/ring.ts';
import { withRingLock, writeRing } from '../keyring/ringfile.ts';
import { readTextFile } from '../readfile.ts';
import { note, print, printJson, warn } from '../terminal.ts';
import { parseGeneration } from './key/promote.ts';
import { flag, jsonOption, one, requiredText, text, together } from './option.ts';
import { checkRestore } from './restorecheck.ts';
import {
  type PlannedFile,
  plannedBundles,
  plannedConfiguration,
  planRing,
  stateOf,
} from './restoreplan.ts';
import { command } from './verb.ts';

export const restore = command({
  changes: true,
  summary: 'ring, bundles and configuration from a backup',
  notes: [
    `Puts back what kleidi backup has saved: recovery bundles and files of the configuration
    where they are missing; and the ring, where no member has one any more, or a running daemon
    knows that it is the right one. A ring that is here stays as it is. The KEKs themselves come
    back with the recovery key: key request, recovery rewrap, key import.`,
  ],
  options: {
    expect: requiredText(
      'DIGEST',
      `what kleidi backup has printed; it does not cover the configuration`,
    ),
    'all-lost': flag(
      `no member has its ring any more. Where one has: kleidi ring adopt, or kleidi join, instead`,
    ),
    generation: text(
      'N',
      `one more than the highest generation that was announced (kleidi snapshot scan prints it)`,
    ),
    'config-only': flag('only the configuration, before kleidi provision --token-only'),
    check: flag(
      `only say whether FILE is whole and has a part of each KEK for the recovery key (exit code 1:
      not), and what would be put here`,
    ),
    json: jsonOption,
  },
  positionals: one('FILE'),
  groups: [together('all-lost', 'generation')],
  example:
    'kleidi restore /var/backups/kleidi.json --expect sha256:0a1b… --all-lost --generation 8',
  async run(options) {
    const wish = {
      generation: parseGeneration(options.text('generation')),
      isAllLost: options.flag('all-lost'),
    };
    const expected = parseExpected(options.given('expect'));
    const [path = ''] = options.positionals;
    const backup = await readBackup(path);
    requireExpected(path, backup.ring, expected);
    const config = await configOf(options.configPath, backup);
    const configuration = plannedConfiguration(options.configPath, config, backup);
    const isRingLeft = options.flag('config-only');
    if (options.flag('check')) {
      const plan = isRingLeft
        ? undefined
        : await planRing(config, backup, wish, await stateIfAny(config));
      const bundles = plan === undefined ? [] : plannedBundles(config, backup, plan.next);
      return checkRestore(backup, plan, [...bundles, ...configuration], options.json);
    }
    const ring = isRingLeft ? undefined : await restoreRing(config, backup, wish);
    for (const file of configuration) await putMissing(file);
    report(ring, options.json);
    return 0;
  },
});

async function readBackup(path: string): Promise<Backup> {
  const hint = 'name a file that kleidi backup has made';
  const text = await readTextFile(path, `backup ${path}`, hint);
  return parseBackup(text, path);
}

/** Of this host, or where it has none the one in the backup, which is not put in place yet. */
async function configOf(path: string, { configuration }: Backup): Promise<Config> {
  const saved = configuration.find(({ name }) => name === resolve(path));
  if (existsSync(path) || saved === undefined) return loadConfig(path);
  const folder = await mkdtemp(join(tmpdir(), 'kleidi-restore-'));
  try {
    await writeFile(join(folder, 'kleidi.yaml'), saved.text);
    return loadConfig(join(folder, 'kleidi.yaml'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function restoreRing(config: Config, backup: Backup, wish: RestoreWish): Promise<Ring> {
  await mkdir(dirname(config.ring), { recursive: true, mode: 0o750 });
  const state = await stateIfAny(config);
  const ring = await withRingLock(config.ring, async () => {
    const { local, next } = await planRing(config, backup, wish, state);
    for (const file of plannedBundles(config, backup, next)) await putMissing(file);
    if (next !== local) await writeRing(config.ring, next);
    return next;
  });
  // A KEK that the token lacks is not here yet: the daemon says so, and waits for it.
  await awaitDaemon(config, ring, state).catch((error: unknown) => {
    warn(KleidiError.from(error).message);
  });
  return ring;
}

async function putMissing(file: PlannedFile): Promise<void> {
  const { path, text, mode, folderMode } = file;
  await mkdir(dirname(path), { recursive: true, mode: folderMode });
  const state = await stateOf(file);
  if (state === 'missing') {
    await writeNewFile(path, text, mode);
    note(`restored ${path}`);
  }
  if (state === 'other') warn(`${path} differs from the backup and is kept as it is`);
}

function report(ring: Ring | undefined, json: boolean): void {
  if (ring === undefined) {
    if (json) printJson({ ring: null });
    else print('configuration restored');
    return;
  }
  if (json) printJson({ ring: ring.ring, generation: ring.generation });
  else print(`ring '${ring.ring}', generation ${ring.generation}`);
  note(
    'kleidi key list shows which KEKs the token of this host lacks; once it has them all, kleidi ring digest prints its digest',
  );
}
