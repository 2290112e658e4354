// The way every KEK is made: wrapped for the recovery key and stored so, then
// kept in the token, then entered in the ring. Whatever is interrupted leaves at
// most a bundle or a key that nothing uses.
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../config.ts';
import { writeFileAtomically } from '../files.ts';
import { formatBundle } from '../keyring/bundle.ts';
import type { RecoveryKey } from '../keyring/recipient.ts';
import type { RingKek } from '../keyring/ring.ts';
import { TokenCommand, type WrappedForRecipients } from './tokencommand.ts';

export function bundleFolder(config: Config): string {
  return join(dirname(config.ring), 'bundles');
}

/** @returns what belongs in the ring */
export async function createKek(
  config: Config,
  ring: string,
  recovery: RecoveryKey | undefined,
): Promise<Omit<RingKek, 'state'>> {
  const created = new Date().toISOString();
  const spkis = recovery === undefined ? [] : [recovery.spki];
  const fp = await new TokenCommand(config).create(`kleidi ${ring}`, spkis, async (kek) => {
    if (recovery !== undefined) await storeBundle(config, ring, created, recovery, kek);
  });
  return { fp, provider: 'pkcs11', recovery: recovery?.fingerprint ?? null, created };
}

async function storeBundle(
  config: Config,
  ring: string,
  created: string,
  recovery: RecoveryKey,
  { fp, oaepHash, wrapped }: WrappedForRecipients,
): Promise<void> {
  const folder = bundleFolder(config);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const recipients = wrapped.map((part) => ({
    recipient: recovery.fingerprint,
    role: 'recovery' as const,
    wrapped: part,
  }));
  const text = formatBundle(ring, [{ fp, created, oaepHash, recipients }]);
  await writeFileAtomically(join(folder, `${fp}.json`), text, 0o600);
}
