// kleidi ring adopt: takes states and generation from the ring of another
// member, once this host's token holds every KEK that is needed. Brings a new, a
// recovered or a lagging host to the same digest.

import { awaitDaemon, stateBeforeChange } from '../../admin/follow.ts';
import { parseFingerprint, requireHeld } from '../../admin/keys/held.ts';
import { parseExpected, readExported } from '../../admin/ring/expecteddigest.ts';
import { stepTo } from '../../admin/ring/step.ts';
import { type Config, loadConfig } from '../../config.ts';
import { forgotten } from '../../keyring/adoption.ts';
import { ringDigest } from '../../keyring/digest.ts';
import { isUnretired, type Ring } from '../../keyring/ring.ts';
import { withRingLock, writeRing } from '../../keyring/ringfile.ts';
import { requireSucceeds, type Undone } from '../../keyring/succession.ts';
import { note, print, printJson, warn } from '../../terminal.ts';
import { jsonOption, one, requiredText, texts } from '../option.ts';
import { command } from '../verb.ts';

export const ringAdopt = command({
  changes: true,
  summary: 'take the ring of another member',
  notes: [
    `Takes the ring that another member has exported. Every KEK in it that is not retired must be
    in the token of this host already: kleidi join brings both. Never lowers the generation,
    drops no KEK that is not retired here, and brings no retired or destroyed one back unasked.
    Safe to repeat.`,
  ],
  options: {
    expect: requiredText('DIGEST', 'what kleidi ring digest prints on that member'),
    undo: texts('FP', 'this KEK comes back, though it is retired or destroyed here'),
    json: jsonOption,
  },
  positionals: one('FILE'),
  example: 'kleidi ring adopt ring-prod.json --expect sha256:0a1b…',
  async run(options) {
    const undone = new Set(options.texts('undo').map(parseFingerprint));
    const expected = parseExpected(options.given('expect'));
    const config = loadConfig(options.configPath);
    const other = await readExported(options.positionals[0] ?? '', expected);
    const before = await stateBeforeChange(config);
    // The file of this host may be lost: what its daemon has announced counts even so.
    requireSucceeds('this ring is not adopted', other, before, undone);
    const ring = await withRingLock(config.ring, () => change(config, other, undone));
    const followed = await awaitDaemon(config, ring, before);
    const { generation } = ring;
    if (options.json) printJson({ ring: ring.ring, generation, digest: ringDigest(ring) });
    else print(`ring '${ring.ring}' adopted, generation ${generation}\n${ringDigest(ring)}`);
    if (!followed) note('no daemon answers: it reads the ring once it starts');
    return 0;
  },
});

async function change(config: Config, other: Ring, undone: Undone): Promise<Ring> {
  const { from: local, to: next } = await stepTo(config, other, undone);
  if (local !== undefined && ringDigest(local) === ringDigest(next)) return local;
  await requireHeld(config, next.keks.filter(isUnretired));
  await writeRing(config.ring, next);
  for (const kek of forgotten(local, next)) {
    warn(
      `KEK ${kek.fp} (${kek.state}) is not in this ring any more; its key is still in the token`,
    );
  }
  return next;
}
