// kleidi provision: from a bare host to a token, a ring and a first KEK. Each
// step is on disk before the next begins, and each can be done again.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Wish } from '../admin/provision/plan.ts';
import { provisionHost, requireRecoveryOfRing } from '../admin/provision/steps.ts';
import { type Config, loadConfig } from '../config.ts';
import { usage } from '../errors.ts';
import { machineHash } from '../host/machine.ts';
import { formatKeyId, isRingName } from '../keyring/keyid.ts';
import { type RecoveryKey, readRecoveryKey } from '../keyring/recoverypublickey.ts';
import { type Ring, writeKekOf } from '../keyring/ring.ts';
import { readRing, withRingLock } from '../keyring/ringfile.ts';
import { print, printJson, warn } from '../terminal.ts';
import { flag, jsonOption, text } from './option.ts';
import type { Parsed } from './parse.ts';
import { confirmKeys, recoveryClaims } from './prompt/confirm.ts';
import { command } from './verb.ts';

const defaultRing = 'kleidi';

const optionTable = {
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
};

export const provision = command({
  summary: 'PINs, token, ring and first KEK on this host',
  notes: [
    `Makes PINs, a token and a ring on this host, and the first KEK (generation 1). Run again, it
    changes nothing; killed, it goes on where it stopped. Where a part of an earlier one was
    lost it refuses and names the way back, because a new key could not open the old data.`,
  ],
  options: optionTable,
  example: 'kleidi provision --ring prod --recovery recovery.pub=SHA256',
  run: provisionThis,
});

type Options = Parsed<typeof optionTable>;

async function provisionThis(options: Options): Promise<number> {
  const config = loadConfig(options.configPath);
  const wish = wishOf(options, config);
  const recovery = await readRecovery(options.text('recovery'));
  if (recovery !== undefined) {
    await confirmKeys(recoveryClaims(recovery, await requireRecoveryOfRing(config, recovery)));
  }
  await mkdir(dirname(config.ring), { recursive: true, mode: 0o750 });
  const changed = await withRingLock(config.ring, () => provisionHost(config, wish, recovery));
  report(await readRing(config.ring), changed, options.json);
  return 0;
}

function wishOf(options: Options, config: Config): Wish {
  const ring = options.text('ring') ?? defaultRing;
  if (!isRingName(ring))
    throw usage(`'${ring}' is no ring name: 1 to 63 of a-z 0-9 and inner hyphens`);
  return {
    ring,
    ringNamed: options.text('ring') !== undefined,
    token: config.pkcs11.token,
    machine: machineHash(),
    tokenOnly: options.flag('token-only'),
  };
}

async function readRecovery(file: string | undefined): Promise<RecoveryKey | undefined> {
  return file === undefined ? undefined : readRecoveryKey(file);
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
