// What `kleidi provision` does to a host, step by step: each is on disk before the next
// begins, and each can be done again.
import type { Config } from '../../config.ts';
import { pendingSecret } from '../../host/credentials.ts';
import {
  pinnedRecovery,
  type RecoveryKey,
  requirePinned,
} from '../../keyring/recoverypublickey.ts';
import { readRingIfAny } from '../../keyring/ringfile.ts';
import { warn } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { apiserverUse } from './apiserveruse.ts';
import { mendOwners } from './owners.ts';
import { keepHostKeyOf, keepPinFor } from './pins.ts';
import { planProvision, type Wish } from './plan.ts';
import { findExisting, type ProvisionRecord, readRecord, writeRecord } from './record.ts';
import { moveReplaced, type ReplaceWish, replaceHost } from './replace.ts';
import { makeRing } from './ring.ts';
import { makeToken } from './token.ts';

/**
 * @returns the fingerprint of the recovery key that the ring of this host has pinned, if any
 * @throws KleidiError refused: this is another one
 */
export async function requireRecoveryOfRing(
  config: Config,
  recovery: RecoveryKey,
): Promise<string | undefined> {
  const ring = await readRingIfAny(config.ring);
  if (ring === undefined) return undefined;
  requirePinned(ring, recovery.fingerprint);
  return pinnedRecovery(ring);
}

/**
 * `pin-wrapped`: the host was provisioned before, and of the recovery key nothing else came
 * of it than a way back for its PIN.
 */
export type Outcome = 'made' | 'pin-wrapped' | 'nothing';

/**
 * Call it under the ring's lock.
 * @param recovery confirmed; what the ring has pinned since then counts all the same
 * @param replace where token and ring of before are to be replaced
 */
export async function provisionHost(
  config: Config,
  wish: Wish,
  recovery: RecoveryKey | undefined,
  replace?: ReplaceWish,
): Promise<Outcome> {
  const record = await recordToGoOnWith(config, wish, replace);
  const ring = await readRingIfAny(config.ring);
  const isBlank = ring?.keks.length === 0;
  const found = { ...findExisting(config), isBlank, inUse: apiserverUse(config) };
  const plan = planProvision(wish, record, found);
  if (ring !== undefined && recovery !== undefined) requirePinned(ring, recovery.fingerprint);
  await mendOwners(config);
  warnOfPending(config);
  if (plan.kind === 'nothing') return tendProvisioned(config, recovery);
  await makeAll(config, plan.kind === 'go-on' ? plan.record : begun(wish), recovery);
  return 'made';
}

/** Where a replacement is asked for or under way, what was here before is moved aside then. */
async function recordToGoOnWith(
  config: Config,
  wish: Wish,
  replace: ReplaceWish | undefined,
): Promise<ProvisionRecord | undefined> {
  const record = await readRecord(config);
  const next = replace === undefined ? record : await replaceHost(config, wish, replace, record);
  return next && moveReplaced(config, next);
}

function warnOfPending({ pkcs11 }: Config): void {
  for (const [reference, command] of [
    [pkcs11.pin, 'kleidi pin set'],
    [pkcs11.soPin, 'kleidi pin set --so'],
  ] as const) {
    const path = pendingSecret(reference);
    if (path !== undefined)
      warn(`a change of the PIN was interrupted (${path}): ${command} finishes or drops it`);
  }
}

function begun({ ring, token, machine, tokenOnly }: Wish): ProvisionRecord {
  return { format: 1, ring, token, machine, tokenOnly, done: false };
}

async function makeAll(
  config: Config,
  record: ProvisionRecord,
  recovery: RecoveryKey | undefined,
): Promise<void> {
  await writeRecord(config, record);
  await makeToken(config);
  if (recovery !== undefined) await keepPinFor(config, recovery);
  await makeRing(config, record, recovery);
  await writeRecord(config, { ...record, done: true });
  await mendOwners(config);
}

/** The token exists and opens: its PIN gets a way back that needs nothing of this host. */
async function tendProvisioned(
  config: Config,
  recovery: RecoveryKey | undefined,
): Promise<Outcome> {
  await new TokenCommand(config).list();
  await keepHostKeyOf(config.pkcs11.pin);
  if (recovery === undefined) return 'nothing';
  await keepPinFor(config, recovery);
  return 'pin-wrapped';
}
