// kleidi provision: from a bare host to a token, a ring and a first KEK. Each
// step is on disk before the next begins, and each can be done again.
import { chown, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createStagedKek, removeCreateRecord, resumeCreate } from '../admin/keys/createrecord.ts';
import { keepHostKeyOf, keepPinFor } from '../admin/provision/pins.ts';
import { planProvision, type Wish } from '../admin/provision/plan.ts';
import {
  findExisting,
  type ProvisionRecord,
  readRecord,
  writeRecord,
} from '../admin/provision/record.ts';
import { makeToken } from '../admin/provision/token.ts';
import { type Config, loadConfig } from '../config.ts';
import { KleidiError, usage } from '../errors.ts';
import { machineHash } from '../host/machine.ts';
import { formatKeyId, isRingName } from '../keyring/keyid.ts';
import {
  pinnedRecovery,
  type RecoveryKey,
  readRecoveryKey,
  requirePinned,
} from '../keyring/recoverypublickey.ts';
import { emptyRing, type Ring, writeKekOf } from '../keyring/ring.ts';
import { readRing, readRingIfAny, withRingLock, writeRing } from '../keyring/ringfile.ts';
import { promote } from '../keyring/transitions.ts';
import { daemonReader } from '../providers/pkcs11/tokenfolder.ts';
import { note, print, printJson, warn } from '../terminal.ts';
import { TokenCommand } from '../tokenchild/client.ts';
import { flag, jsonOption, text } from './option.ts';
import { confirmKeys, recoveryClaims } from './prompt/confirm.ts';
import { command } from './verb.ts';

const defaultRing = 'kleidi';

export const provision = command({
  summary: 'PINs, token, ring and first KEK on this host',
  notes: [
    `Makes PINs, a token and a ring on this host, and the first KEK (generation 1). Run again, it
    changes nothing; killed, it goes on where it stopped. Where a part of an earlier one was
    lost it refuses and names the way back, because a new key could not open the old data.`,
  ],
  options: {
    ring: text(
      'NAME',
      `name of the ring, the same on every host (default: kleidi). A ring without a KEK, as the
      package may have made it, takes this name`,
    ),
    'token-only': flag('no KEK: it comes from another member with kleidi join'),
    recovery: text(
      'PUB[=SHA256]',
      `also wrap the KEK and the PIN for this offline recovery key; on a host that is
      provisioned: the PIN. Its fingerprint is named with it, or asked about on a terminal.`,
    ),
    json: jsonOption,
  },
  example: 'kleidi provision --ring prod --recovery recovery.pub=SHA256',
  async run(options) {
    const config = loadConfig(options.configPath);
    const ring = options.text('ring') ?? defaultRing;
    if (!isRingName(ring))
      throw usage(`'${ring}' is no ring name: 1 to 63 of a-z 0-9 and inner hyphens`);
    const recoveryFile = options.text('recovery');
    const recovery = recoveryFile === undefined ? undefined : await readRecoveryKey(recoveryFile);
    const wish: Wish = {
      ring,
      ringNamed: options.text('ring') !== undefined,
      token: config.pkcs11.token,
      machine: machineHash(),
      tokenOnly: options.flag('token-only'),
    };
    if (recovery !== undefined) await confirmRecovery(config, recovery);
    await mkdir(dirname(config.ring), { recursive: true, mode: 0o750 });
    const changed = await withRingLock(config.ring, () => carryOut(config, wish, recovery));
    report(await readRing(config.ring), changed, options.json);
    return 0;
  },
});

/** @throws KleidiError refused: not confirmed, or not the recovery key of this ring */
async function confirmRecovery(config: Config, recovery: RecoveryKey): Promise<void> {
  const ring = await readRingIfAny(config.ring);
  if (ring !== undefined) requirePinned(ring, recovery.fingerprint);
  await confirmKeys(recoveryClaims(recovery, ring && pinnedRecovery(ring)));
}

/** @param recovery confirmed; what the ring has pinned since then counts all the same */
async function carryOut(
  config: Config,
  wish: Wish,
  recovery: RecoveryKey | undefined,
): Promise<boolean> {
  const ring = await readRingIfAny(config.ring);
  const found = { ...findExisting(config), isBlank: ring?.keks.length === 0 };
  const plan = planProvision(wish, await readRecord(config), found);
  if (ring !== undefined && recovery !== undefined) requirePinned(ring, recovery.fingerprint);
  if (plan.kind === 'nothing') {
    await new TokenCommand(config).list();
    await keepHostKeyOf(config.pkcs11.pin);
    if (recovery !== undefined) await keepPin(config, recovery);
    return false;
  }
  const begun: ProvisionRecord =
    plan.kind === 'go-on' ? plan.record : { format: 1, ...pick(wish), done: false };
  await writeRecord(config, begun);
  await makeToken(config);
  if (recovery !== undefined) await keepPinFor(config, recovery);
  await makeRing(config, begun, recovery);
  await writeRecord(config, { ...begun, done: true });
  return true;
}

/** The token exists: its PIN gets a way back that needs nothing of this host. */
async function keepPin(config: Config, recovery: RecoveryKey): Promise<void> {
  await keepPinFor(config, recovery);
  note(`the PIN is wrapped for recovery key sha256:${recovery.fingerprint}`);
}

function pick({ ring, token, machine, tokenOnly }: Wish) {
  return { ring, token, machine, tokenOnly };
}

async function makeRing(
  config: Config,
  record: ProvisionRecord,
  recovery: RecoveryKey | undefined,
): Promise<void> {
  const ring = await ringOf(config, record);
  if (record.tokenOnly || ring.generation > 0) return;
  const wish = { recovery, hosts: [] };
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

/** The daemon's group must be able to read it. */
async function writeFirstRing(config: Config, ring: Ring): Promise<void> {
  await writeRing(config.ring, ring);
  const reader = daemonReader(config.pkcs11.softhsmConf);
  if (reader !== undefined) await chown(config.ring, 0, reader.gid);
}

function report(ring: Ring, changed: boolean, json: boolean): void {
  const kek = writeKekOf(ring);
  const { generation } = ring;
  const keyId = kek === undefined ? null : formatKeyId({ ring: ring.ring, generation, fp: kek.fp });
  if (json) {
    printJson({
      fp: kek?.fp ?? null,
      keyId,
      ring: ring.ring,
      generation,
      recovery: kek?.recovery ?? null,
      changed,
    });
    return;
  }
  print(
    changed
      ? `provisioned: ring '${ring.ring}', generation ${generation}`
      : 'already provisioned, nothing changed',
  );
  if (keyId !== null) print(`key id: ${keyId}`);
  if (kek?.recovery === null) {
    warn(
      'this KEK has no recovery: if the token, its PIN or the key of that (/var/lib/systemd/credential.secret) is lost, so is everything sealed under it',
    );
  }
}
