// The way every KEK is made: wrapped for its recipients and the recovery part
// stored, then kept in the token, then entered in the ring. Whatever is
// interrupted leaves at most a bundle or a key that nothing uses.
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { Config } from '../../config.ts';
import { writeFileAtomically } from '../../files.ts';
import {
  type BundleKek,
  formatRecoveryBundle,
  recoveryPart,
  vouchedOf,
} from '../../keyring/bundle.ts';
import { readBundle } from '../../keyring/bundlefile.ts';
import type { HybridPublicKey } from '../../keyring/hybrid.ts';
import type { PublicKey } from '../../keyring/publickey.ts';
import type { RingKek } from '../../keyring/ring.ts';
import type { RingName } from '../../keyring/ringid.ts';
import type { KekIdentity } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import type { NewKekRecipient } from '../../tokenchild/protocol.ts';
import { bundleFolder, recoveryBundlePath } from './bundlefolder.ts';

export interface KekRecipients {
  readonly recovery: HybridPublicKey | undefined;
  readonly hosts: readonly PublicKey[];
}

/** @param record runs first, before anything of the KEK persists */
export async function createKek(
  config: Config,
  ring: RingName,
  { recovery, hosts }: KekRecipients,
  vouchedBy: KekIdentity | null,
  record: (kek: BundleKek) => Promise<void>,
): Promise<BundleKek> {
  const recipients: NewKekRecipient[] = hosts.map(({ spki }) => ({
    role: 'host',
    spki: spki.toString('base64'),
  }));
  if (recovery !== undefined) {
    const [spki, kem] = [recovery.rsa.toString('base64'), recovery.kem.toString('base64')];
    recipients.unshift({ role: 'recovery', spki, kem });
  }
  const { ring: name, ringId } = ring;
  const created = new Date().toISOString();
  const wish = { ring: name, ringId, created, recipients, vouchedBy };
  return new TokenCommand(config).create(wish, async (kek) => {
    await record(kek);
    await storeRecoveryBundle(config, ring, kek);
  });
}

/**
 * Where the KEK has a recovery part, and none for this recovery key is stored yet. The
 * caller has made sure that it is the key of the ring.
 */
export async function storeRecoveryBundle(
  config: Config,
  ring: RingName,
  kek: BundleKek,
): Promise<void> {
  const text = formatRecoveryBundle(ring, kek);
  const path = recoveryBundlePath(config, kek.fp);
  const recipient = recoveryPart(kek)?.recipient;
  if (text === undefined || (await storedFor(path)) === recipient) return;
  await mkdir(bundleFolder(config), { recursive: true, mode: 0o700 });
  await writeFileAtomically(path, text, 0o600);
}

/** Undefined where there is no whole bundle. */
async function storedFor(path: string): Promise<string | undefined> {
  if (!existsSync(path)) return undefined;
  const bundle = await readBundle(path).catch(() => undefined);
  return bundle?.keks.map((kek) => recoveryPart(kek)?.recipient)[0];
}

/** What belongs in the ring. */
export function ringEntry(kek: BundleKek): Omit<RingKek, 'state'> {
  return { ...vouchedOf(kek), provider: 'pkcs11' };
}
