// The ring of `kleidi provision`, with its first KEK. What exists is gone on with, and
// never replaced.
import { chown } from 'node:fs/promises';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import type { RecoveryKey } from '../../keyring/recoverypublickey.ts';
import { emptyRing, type Ring } from '../../keyring/ring.ts';
import { readRing, readRingIfAny, writeRing } from '../../keyring/ringfile.ts';
import { promote } from '../../keyring/transitions.ts';
import { daemonReader } from '../../providers/pkcs11/tokenfolder.ts';
import { note } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { createStagedKek, removeCreateRecord, resumeCreate } from '../keys/createrecord.ts';
import type { ProvisionRecord } from './record.ts';

/** @throws KleidiError refused where the token holds keys that no ring names */
export async function makeRing(
  config: Config,
  record: ProvisionRecord,
  recovery: RecoveryKey | undefined,
): Promise<void> {
  const ring = await ringOf(config, record);
  if (record.tokenOnly || ring.generation > 0) return;
  const wish = { recovery, hosts: [], isFirst: true };
  const resumed = await resumeCreate(config, ring, wish);
  if (resumed === undefined) await requireNoOtherKeys(config, ring);
  const { kek } = resumed ?? (await createStagedKek(config, ring, wish));
  const { fp } = kek;
  await writeRing(config.ring, promote(await readRing(config.ring), fp, 1));
  await removeCreateRecord(config);
  note(`KEK ${fp} is the write KEK, generation 1`);
}

/** A ring without a KEK takes the name that the operator has given last. */
async function ringOf(config: Config, { ring: name }: ProvisionRecord): Promise<Ring> {
  const ring = await readRingIfAny(config.ring);
  const isSettled = ring !== undefined && (ring.ring === name || ring.keks.length > 0);
  if (isSettled) return ring;
  const first = emptyRing(name);
  await writeFirstRing(config, first);
  return first;
}

/** The daemon's group must be able to read it. */
async function writeFirstRing(config: Config, ring: Ring): Promise<void> {
  await writeRing(config.ring, ring);
  const reader = daemonReader(config.pkcs11.softhsmConf);
  if (reader !== undefined) await chown(config.ring, 0, reader.gid);
}

/** Whatever they are, nobody has said that they may seal a cluster's Secrets. */
async function requireNoOtherKeys(config: Config, ring: Ring): Promise<void> {
  const known = new Set(ring.keks.map(({ fp }) => fp));
  const other = (await new TokenCommand(config).list()).filter(({ fp }) => !known.has(fp));
  const [first] = other;
  if (first === undefined) return;
  throw new KleidiError(
    'refused',
    `token '${config.pkcs11.token}' holds ${other.length} AES keys that the ring does not name, the first is ${first.fp} ('${first.label}'); no KEK was made`,
    {
      hint: 'if they belong to something else, give kleidi a token of its own (pkcs11.token); if they are the KEKs of a ring that was lost, bring that ring back: kleidi ring adopt or kleidi restore',
    },
  );
}
