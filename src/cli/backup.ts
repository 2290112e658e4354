// kleidi backup: ring, recovery bundles and configuration of this host in one
// file. With the recovery key it is enough to build the host anew.
import { basename, resolve } from 'node:path';
import { bundlePaths } from '../admin/keys/bundlefolder.ts';
import { verifiedDigest } from '../admin/ring/verifieddigest.ts';
import { type Config, loadConfig } from '../config.ts';
import { writeNewFile } from '../files.ts';
import { type BackupFile, formatBackup } from '../keyring/backup.ts';
import { readRing } from '../keyring/ringfile.ts';
import { readOwnFileIfAny } from '../readfile.ts';
import { note, print, printJson, warn } from '../terminal.ts';
import { jsonOption, requiredText } from './option.ts';
import { command } from './verb.ts';

export const backup = command({
  summary: 'ring, bundles and configuration in one file',
  notes: [
    `Ring, recovery bundles and configuration (kleidi.yaml, softhsm2.conf) in one new file of
    mode 0600. No PIN and no token: only the recovery key opens what is in it.
    Keep it apart from the recovery key. Repeat it after every key create, promote, retire and
    destroy.`,
    `Prints the digest of the ring last: note it apart from the file. restore wants it, because
    whoever can change the file could name a KEK of theirs in it.`,
  ],
  options: {
    out: requiredText('FILE', 'the new file'),
    json: jsonOption,
  },
  example: 'kleidi backup --out /var/backups/kleidi.json',
  async run(options) {
    const file = options.given('out');
    const config = loadConfig(options.configPath);
    const ring = await readRing(config.ring);
    const bundles = await readBundles(config);
    const configuration = await readAll([resolve(options.configPath), config.pkcs11.softhsmConf]);
    const created = new Date().toISOString();
    const text = formatBackup({
      ...{ format: 2, kind: 'kleidi-backup' },
      ...{ created, ring, bundles, configuration },
    });
    await writeNewFile(file, text, 0o600);
    const { generation, keks } = ring;
    const counts = { generation, keks: keks.length, bundles: bundles.length };
    const digest = await verifiedDigest(config, ring);
    if (options.json) printJson({ file, ring: ring.ring, ...counts, digest });
    else {
      print(`${file}: ring '${ring.ring}', generation ${generation}, ${bundles.length} bundles`);
      if (digest !== null) {
        print(digest);
        note(`to kleidi restore, and offline to kleidi recovery test: --expect ${digest}`);
      }
    }
    warnOfMissing(
      keks.filter(({ state }) => state !== 'destroyed'),
      bundles,
    );
    return 0;
  },
});

async function readBundles(config: Config): Promise<BackupFile[]> {
  const files = await readAll(await bundlePaths(config));
  return files.map(({ name, text }) => ({ name: basename(name), text }));
}

/** Files that do not exist are left out: other modules than SoftHSM have no softhsm2.conf. */
async function readAll(paths: readonly string[]): Promise<BackupFile[]> {
  const files: BackupFile[] = [];
  for (const name of paths) {
    const text = await readOwnFileIfAny(name, name, 'run as root');
    if (text !== undefined) files.push({ name, text });
  }
  return files;
}

function warnOfMissing(keks: readonly { fp: string }[], bundles: readonly BackupFile[]): void {
  const lost = keks.filter(({ fp }) => bundles.every(({ name }) => name !== `${fp}.json`));
  if (lost.length === 0) return;
  const fps = lost.map(({ fp }) => fp).join(', ');
  warn(`no recovery bundle of KEK ${fps} is on this host: this backup cannot bring it back`);
}
