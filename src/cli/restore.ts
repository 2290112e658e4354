// kleidi restore: ring, recovery bundles and configuration from a backup. Never
// lowers a generation, and replaces no file but the ring.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { awaitDaemon, stateIfAny } from '../admin/follow.ts';
import { bundleFolder } from '../admin/keys/bundlefolder.ts';
import { parseExpected, requireExpected } from '../admin/ring/expecteddigest.ts';
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { writeNewFile } from '../files.ts';
import {
  type Backup,
  type BackupFile,
  parseBackup,
  type RestoreWish,
  requirePinnedParts,
  ringAfterRestore,
} from '../keyring/backup.ts';
import { parseBundle } from '../keyring/bundlefile.ts';
import { readAnnounced } from '../keyring/changetimes.ts';
import type { Ring } from '../keyring/ring.ts';
import { readRingIfWhole, withRingLock, writeRing } from '../keyring/ringfile.ts';
import { readTextFile } from '../readfile.ts';
import { note, print, printJson, warn } from '../terminal.ts';
import { parseGeneration } from './key/promote.ts';
import { flag, jsonOption, one, requiredText, text, together } from './option.ts';
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
    const ring = options.flag('config-only') ? undefined : await restoreRing(config, backup, wish);
    await putConfiguration(backup, [resolve(options.configPath), config.pkcs11.softhsmConf]);
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
    const local = await readRingIfWhole(config.ring);
    const announced = await readAnnounced(config.ring);
    const next = ringAfterRestore(backup.ring, { local, state, announced, wish });
    requirePinnedParts(next, backup.bundles);
    await putAll(bundleFolder(config), wantedBundles(backup, next));
    if (next !== local) await writeRing(config.ring, next);
    return next;
  });
  // A KEK that the token lacks is not here yet: the daemon says so, and waits for it.
  await awaitDaemon(config, ring, state).catch((error: unknown) => {
    warn(KleidiError.from(error).message);
  });
  return ring;
}

/** What the ring has destroyed does not come back. */
function wantedBundles({ bundles }: Backup, ring: Ring): readonly BackupFile[] {
  const ended = new Set(ring.keks.filter(({ state }) => state === 'destroyed').map(({ fp }) => fp));
  return bundles.filter(({ name, text }) =>
    parseBundle(text, `${name} in the backup`).keks.some(({ fp }) => !ended.has(fp)),
  );
}

async function putAll(folder: string, files: readonly BackupFile[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const { name, text } of files) await putMissing(join(folder, name), text, 0o600);
}

/** These two paths and no others, whatever the backup says. */
async function putConfiguration(
  { configuration }: Backup,
  allowed: readonly string[],
): Promise<void> {
  for (const { name, text } of configuration.filter((file) => allowed.includes(file.name))) {
    await mkdir(dirname(name), { recursive: true, mode: 0o755 });
    await putMissing(name, text, 0o644);
  }
}

async function putMissing(path: string, text: string, mode: number): Promise<void> {
  if (!existsSync(path)) {
    await writeNewFile(path, text, mode);
    note(`restored ${path}`);
  } else if ((await readFile(path, 'utf8')) !== text) {
    warn(`${path} differs from the backup and is kept as it is`);
  }
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
