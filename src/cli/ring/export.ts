// kleidi ring export: the ring file as another member adopts it, and on standard
// error the digest to name there.

import { basename } from 'node:path';
import { verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { loadConfig } from '../../config.ts';
import { writeNewFile } from '../../files.ts';
import { formatRing } from '../../keyring/ring.ts';
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
    out: text('FILE', 'into this new file; default: standard output'),
    json: jsonOption,
  },
  example: 'kleidi ring export --out ring-prod.json',
  async run(options) {
    const config = loadConfig(options.configPath);
    const ring = await readRing(config.ring);
    const [file, digest] = [options.text('out'), await verifiedDigest(config, ring)];
    if (file !== undefined) await writeNewFile(file, formatRing(ring), 0o644);
    if (options.json) printJson(file === undefined ? ring : { file, digest });
    else if (file === undefined) print(formatRing(ring).trimEnd());
    if (digest !== null) noteUses(file === undefined ? 'FILE' : basename(file), digest);
    return 0;
  },
});

function noteUses(file: string, digest: string): void {
  note(`to be adopted with: kleidi ring adopt ${file} --expect ${digest}`);
  note(`offline, to kleidi recovery rewrap, replace or test: --ring ${file} --expect ${digest}`);
}
