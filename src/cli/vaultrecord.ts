// The text by which this host knows a KEK in Vault again: sealed where the KEK comes into
// use here, opened at each load. One that is there is never replaced.
import { type Config, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { writeFileAtomically } from '../files.ts';
import { isUnretired } from '../keyring/ring.ts';
import { firstOwner, readRing, withRingLock } from '../keyring/ringfile.ts';
import { lackingKeks } from '../providers/kekidentity.ts';
import type { Fingerprint, KekIdentity } from '../providers/provider.ts';
import { formatKnownTexts, knownTextsPath, readKnownTexts } from '../providers/vault/knowntexts.ts';
import type { VaultProvider } from '../providers/vault/vault.ts';
import { print, printJson } from './terminal.ts';
import { lookAt, withVault } from './vaultkeks.ts';
import { parse, type Verb } from './verb.ts';

export const vaultRecord: Verb = {
  help: `usage: kleidi vault record [--json]

Seals a known text under each KEK of the ring that is kept in Vault, where this
host has none yet, and opens those that it has. By it the daemon notices another
key in the place of the KEK. key import, key promote and ring adopt do the same.

example: kleidi vault record`,

  async run(args) {
    const { configPath, json } = parse(args, {});
    const config = loadConfig(configPath);
    const { known, recorded } = await withRingLock(config.ring, () => recordRing(config));
    if (json) printJson({ known, recorded });
    else report(known, recorded);
    return 0;
  },
};

interface Recorded {
  readonly known: readonly Fingerprint[];
  readonly recorded: readonly Fingerprint[];
}

function report(known: readonly Fingerprint[], recorded: readonly Fingerprint[]): void {
  for (const fp of known) print(`KEK ${fp} opens the text that is known here`);
  for (const fp of recorded) print(`KEK ${fp} is known by a text from now on`);
  if (known.length + recorded.length === 0) print('the ring names no KEK in Vault');
}

async function recordRing(config: Config): Promise<Recorded> {
  const { keks } = await readRing(config.ring);
  const live = keks.filter((kek) => kek.provider === 'vault' && isUnretired(kek));
  const fps = live.map(({ fp }) => fp);
  if (fps.length === 0) return { known: [], recorded: [] };
  const recorded = await requireKnown(config, live);
  return { known: fps.filter((fp) => !recorded.includes(fp)), recorded };
}

/**
 * Vault holds each of these KEKs, it is the key that it was, and this host knows it again.
 * Call it under the ring's lock.
 * @returns those for which a text was sealed now
 * @throws KleidiError kek-missing, vault-key-swapped, vault-known-invalid, vault-*
 */
export function requireKnown(
  config: Config,
  wanted: readonly KekIdentity[],
): Promise<readonly Fingerprint[]> {
  return withVault(config, async (vault) => {
    const keks = await lookAt(vault);
    requireAll(wanted, keks);
    const fps = wanted.map(({ fp }) => fp);
    const refused = keks.find(({ fp, refusal }) => fps.includes(fp) && refusal !== undefined);
    if (refused?.refusal !== undefined) throw refused.refusal;
    return record(config, vault, fps);
  });
}

function requireAll(wanted: readonly KekIdentity[], held: readonly KekIdentity[]): void {
  const lacking = lackingKeks(wanted, held).map(({ fp }) => fp);
  if (lacking.length === 0) return;
  const text = `Vault has no usable version for KEK ${lacking.join(', ')}`;
  throw new KleidiError('kek-missing', `${text}; nothing was changed`, {
    hint: 'this host asks another Vault, mount or key than the others, or min_decryption_version is too high',
  });
}

async function record(
  config: Config,
  vault: VaultProvider,
  fps: readonly Fingerprint[],
): Promise<readonly Fingerprint[]> {
  const path = knownTextsPath(config.ring);
  const texts = new Map(await readKnownTexts(path));
  const missing = [...new Set(fps)].filter((fp) => !texts.has(fp));
  if (missing.length === 0) return [];
  for (const fp of missing) texts.set(fp, await vault.sealKnownText(fp));
  await writeFileAtomically(path, formatKnownTexts(texts), 0o640, await firstOwner(path));
  return missing;
}
