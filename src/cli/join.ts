// kleidi join: KEKs and ring of a bundle in one step, by one string that the operator
// compares. The digest covers the KEKs, so that nobody can give this host one of theirs.

import { awaitDaemon, stateIfAny } from '../admin/follow.ts';
import { takeIn } from '../admin/keys/bundleimport.ts';
import { parseFingerprint, requireHeld } from '../admin/keys/held.ts';
import { keepPinFor } from '../admin/provision/pins.ts';
import { parseExpected, requireExpected } from '../admin/ring/expecteddigest.ts';
import { stepTo } from '../admin/ring/step.ts';
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import type { Bundle } from '../keyring/bundle.ts';
import { readBundle } from '../keyring/bundlefile.ts';
import { ringDigest } from '../keyring/digest.ts';
import { pinnedRecovery, type RecoveryKey, readRecoveryKey } from '../keyring/recoverypublickey.ts';
import { isUnretired, type Ring } from '../keyring/ring.ts';
import { readRingIfWhole, withRingLock } from '../keyring/ringfile.ts';
import { requireSucceeds, type Undone } from '../keyring/succession.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import type { Fingerprint } from '../providers/provider.ts';
import { note, print, printJson, warn } from '../terminal.ts';
import { noteNextPromotion } from './nextpromotion.ts';
import { jsonOption, one, requiredText, text, texts } from './option.ts';
import { confirmKeys, recoveryClaims } from './prompt/confirm.ts';
import { command } from './verb.ts';

export const join = command({
  changes: true,
  summary: 'KEKs and ring of a bundle, on a host that follows',
  notes: [
    `All that a member needs: takes the KEKs of the bundle into the token of this host, and the
    ring that comes with them. Nothing is kept unless every KEK that the ring needs is in the
    bundle or here already, and is what it should be. Never lowers the generation, drops no KEK
    that is not retired here, and brings no retired or destroyed one back unasked. Then the
    request of this host is closed. Safe to repeat.`,
  ],
  options: {
    expect: requiredText(
      'DIGEST',
      `what key create or recovery rewrap has printed with the bundle, by a way that cannot
      be tampered with`,
    ),
    recovery: text(
      'PUB[=SHA256]',
      `wrap the PIN of this host for the recovery key of the ring. A new one (from recovery
      replace, or key create with a new one) takes the place of the one that is known here: with
      =SHA256 a key with another fingerprint is refused; without it the fingerprint is asked about`,
    ),
    undo: texts('FP', 'this KEK comes back, though it is retired or destroyed here'),
    json: jsonOption,
  },
  positionals: one('BUNDLE'),
  example: 'kleidi join kek.bundle --expect sha256:0a1b…',
  async run(options) {
    const undone = new Set(options.texts('undo').map(parseFingerprint));
    const expected = parseExpected(options.given('expect'));
    const [path = ''] = options.positionals;
    const config = loadConfig(options.configPath);
    const bundle = await readBundle(path);
    const carried = carriedRing(path, bundle, expected);
    const recovery = await newRecovery(config, options.text('recovery'), carried);
    // Also while the daemon serves from memory what the disk has lost: every KEK of the ring is
    // on the disk afterwards, and none that the daemon holds may be missing in that ring.
    const before = await stateIfAny(config);
    // The file of this host may be lost: what its daemon has announced counts even so.
    requireSucceeds('the ring of this bundle is not taken', carried, before, undone);
    const wish = { bundle, carried, undone, recovery };
    const joined = await withRingLock(config.ring, () => change(config, wish));
    const ready = joined.ring.keks.filter(isUnretired).map(({ fp }) => fp);
    const isMended = before?.tokenDamaged === true;
    const followed = isMended || (await awaitDaemon(config, joined.ring, before, ready));
    report(joined, options.json);
    if (isMended) note('the daemon still serves from memory, now: systemctl restart kleidi');
    if (!followed) note('no daemon answers: it reads the ring once it starts');
    const [fp, ...more] = joined.ring.keks.filter(({ state }) => state === 'staged');
    if (!options.json && fp !== undefined && more.length === 0)
      noteNextPromotion(joined.ring, fp.fp);
    return 0;
  },
});

function carriedRing(path: string, { carried }: Bundle, expected: string): Ring {
  if (carried === null) {
    throw new KleidiError('refused', `${path} carries no ring; nothing was changed`, {
      hint: 'it is a part for the recovery key alone: kleidi recovery rewrap --ring makes a bundle of it that a host can join with',
    });
  }
  requireExpected(path, carried, expected);
  return carried;
}

interface Joined {
  readonly ring: Ring;
  readonly imported: readonly Fingerprint[];
}

interface Wish {
  readonly bundle: Bundle;
  readonly carried: Ring;
  readonly undone: Undone;
  readonly recovery: RecoveryKey | undefined;
}

/** Named on each member by the operator: the digest agrees on whatever all were given. */
async function newRecovery(
  config: Config,
  argument: string | undefined,
  carried: Ring,
): Promise<RecoveryKey | undefined> {
  if (argument === undefined) return undefined;
  const recovery = await readRecoveryKey(argument);
  const local = await readRingIfWhole(config.ring);
  // A host without a KEK takes the pin of the ring whose digest the operator has named.
  const pinning = local !== undefined && local.keks.length > 0 ? local : carried;
  await confirmKeys(recoveryClaims(recovery, pinnedRecovery(pinning)));
  if (carried.keks.some((kek) => kek.recovery === recovery.fingerprint)) return recovery;
  throw new KleidiError(
    'refused',
    `no KEK of the ring in this bundle has the recovery key sha256:${recovery.fingerprint}; nothing was changed`,
    { hint: 'name the recovery key that recovery replace or key create was given' },
  );
}

async function change(
  config: Config,
  { bundle, carried, undone, recovery }: Wish,
): Promise<Joined> {
  const step = await stepTo(config, carried, undone, recovery?.fingerprint);
  const ring = step.to;
  await requireHeld(config, missingKeks(ring.keks.filter(isUnretired), bundle.keks));
  const imported = await takeIn(config, bundle, step);
  if (recovery !== undefined) await keepPinFor(config, recovery);
  return { ring, imported };
}

function report({ ring, imported }: Joined, json: boolean): void {
  const { ring: name, generation, keks } = ring;
  const digest = ringDigest(ring);
  if (json) printJson({ ring: name, generation, digest, imported });
  else {
    for (const fp of imported) print(`KEK ${fp} is in the token of this host`);
    print(`ring '${name}', generation ${generation}\n${digest}`);
  }
  const without = keks.some((kek) => kek.provider === 'pkcs11' && kek.recovery === null);
  if (without)
    warn('a KEK of this ring has no recovery: if all tokens are lost, so is what it seals');
}
