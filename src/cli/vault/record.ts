// The text by which this host knows a KEK in Vault again: sealed where the KEK comes into
// use here, opened at each load. One that is there is never replaced.

import { requireKnown } from '../../admin/keys/vaultknown.ts';
import { type Config, loadConfig } from '../../config.ts';
import { isUnretired } from '../../keyring/ring.ts';
import { readRing, withRingLock } from '../../keyring/ringfile.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { print, printJson } from '../../terminal.ts';
import { jsonOption } from '../option.ts';
import { command } from '../verb.ts';

export const vaultRecord = command({
  changes: true,
  summary: 'a known text under each KEK in Vault, so that another key is noticed',
  notes: [
    `Seals a known text under each KEK of the ring that is kept in Vault, where this host has
    none yet, and opens those that it has. By it the daemon notices another key in the place of
    the KEK. key import, key promote and ring adopt do the same.`,
  ],
  options: { json: jsonOption },
  example: 'kleidi vault record',
  async run({ configPath, json }) {
    const config = loadConfig(configPath);
    const { known, recorded } = await withRingLock(config.ring, () => recordRing(config));
    if (json) printJson({ known, recorded });
    else report(known, recorded);
    return 0;
  },
});

type Fps = readonly Fingerprint[];

function report(known: Fps, recorded: Fps): void {
  for (const fp of known) print(`KEK ${fp} opens the text that is known here`);
  for (const fp of recorded) print(`KEK ${fp} is known by a text from now on`);
  if (known.length + recorded.length === 0) print('the ring names no KEK in Vault');
}

async function recordRing(config: Config): Promise<Record<'known' | 'recorded', Fps>> {
  const { keks } = await readRing(config.ring);
  const live = keks.filter((kek) => kek.provider === 'vault' && isUnretired(kek));
  const fps = live.map(({ fp }) => fp);
  if (fps.length === 0) return { known: [], recorded: [] };
  const recorded = await requireKnown(config, live);
  return { known: fps.filter((fp) => !recorded.includes(fp)), recorded };
}
