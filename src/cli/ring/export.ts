// kleidi ring export: the ring file as another member adopts it, and on standard
// error the digest to name there.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { loadConfig } from '../../config.ts';
import { writeFileAtomically, writeNewFile } from '../../files.ts';
import { formatRing, parseRing, type Ring } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { note, print, printJson } from '../../terminal.ts';
import { jsonOption, text } from '../option.ts';
import { command } from '../verb.ts';

export const ringExport = command({
  summary: 'the ring file, for another member',
  notes: [
    `The ring of this host, for kleidi ring adopt on another. Holds no secret. Bring the digest
    there by another way than the file, so that an exchanged file is noticed.`,
  ],
  options: {
    out: text('FILE', 'there, over an older export of this ring; default: standard output'),
    json: jsonOption,
  },
  example: 'kleidi ring export --out ring-prod.json',
  async run(options) {
    const config = loadConfig(options.configPath);
    const ring = await readRing(config.ring);
    const [file, digest] = [options.text('out'), await verifiedDigest(config, ring)];
    if (file !== undefined) await writeRingFile(file, ring);
    if (options.json) printJson(file === undefined ? ring : { file, digest });
    else if (file === undefined) print(formatRing(ring).trimEnd());
    if (digest !== null) noteUses(file === undefined ? 'FILE' : basename(file), digest);
    return 0;
  },
});

/** What it was before the ring went on is of no use any more. */
async function writeRingFile(path: string, ring: Ring): Promise<void> {
  const old = existsSync(path) ? await readFile(path, 'utf8').catch(() => '') : '';
  const write = isOfRing(old, ring, path) ? writeFileAtomically : writeNewFile;
  await write(path, formatRing(ring), 0o644);
}

function isOfRing(text: string, { ringId }: Ring, path: string): boolean {
  try {
    return ringId !== null && parseRing(text, path).ringId === ringId;
  } catch {
    return false;
  }
}

function noteUses(file: string, digest: string): void {
  note(`to be adopted with: kleidi ring adopt ${file} --expect ${digest}`);
  note(
    `on a member that has lost its token: kleidi provision --replace lost-token --member-ring ${file} --expect ${digest}`,
  );
  note(`offline, to kleidi recovery rewrap, replace or test: --ring ${file} --expect ${digest}`);
}
