// kleidi key list: every KEK of ring and token, with its attributes.

import { vaultKey } from '../../admin/keys/vaultknown.ts';
import { type Config, loadConfig } from '../../config.ts';
import type { Ring, RingKek } from '../../keyring/ring.ts';
import { readRing } from '../../keyring/ringfile.ts';
import { missingKeks } from '../../providers/kekidentity.ts';
import type { KekDescription, KekIdentity, ProviderKind } from '../../providers/provider.ts';
import { print, printJson, table } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { tpmStoreExists } from '../../tpmmodule.ts';
import { jsonOption } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { command } from '../verb.ts';

const optionTable = { json: jsonOption };

export const keyList = command({
  summary: 'every KEK of ring and token, with its attributes',
  notes: [
    `Every KEK of the ring and of the token: its state, where it is held, and what is wrong with
    its object.`,
  ],
  options: optionTable,
  example: 'kleidi key list --json',
  run: list,
});

async function list({ configPath, json }: Parsed<typeof optionTable>): Promise<number> {
  const config = loadConfig(configPath);
  const ring = await readRing(config.ring);
  const keks = merge(ring, {
    pkcs11: await inToken(config, ring),
    tpm: await inTpm(config, ring),
    vault: await inVault(config, ring),
  });
  if (json) printJson(keks);
  else print(table([['FINGERPRINT', 'RING', 'HELD BY', 'NOTE'], ...keks.map(row)]));
  return 0;
}

/** A host that keeps its KEKs in Vault alone has no token, and needs no PIN. */
async function inToken(config: Config, ring: Ring): Promise<readonly KekDescription[]> {
  const isUsed = config.vault.address.length === 0 || ring.keks.some(isOf('pkcs11'));
  return isUsed ? new TokenCommand(config).list() : [];
}

async function inTpm(config: Config, ring: Ring): Promise<readonly KekDescription[]> {
  const isUsed = tpmStoreExists(config.tpm.store) || ring.keks.some(isOf('tpm'));
  return isUsed ? new TokenCommand(config, { kind: 'tpm' }).list() : [];
}

async function inVault(config: Config, ring: Ring): Promise<readonly KekIdentity[]> {
  if (!ring.keks.some(isOf('vault'))) return [];
  const { keks } = await vaultKey(config);
  return keks.filter(({ refusal }) => refusal === undefined);
}

const isOf =
  (kind: ProviderKind) =>
  ({ provider }: RingKek): boolean =>
    provider === kind;

interface Listed {
  readonly fp: string;
  readonly state: string | null;
  readonly provider: ProviderKind;
  /** Whether this host can use it: it is in the token, or Vault has a usable version. */
  readonly held: boolean;
  /** Of the object in the token; null for others. */
  readonly sensitive: boolean | null;
  readonly extractable: boolean | null;
}

interface Held {
  readonly pkcs11: readonly KekDescription[];
  readonly tpm: readonly KekDescription[];
  readonly vault: readonly KekIdentity[];
}

function merge(ring: Ring, held: Held): Listed[] {
  const objects = [...held.pkcs11, ...held.tpm];
  const inTpm = new Set(held.tpm.map(({ fp }) => fp));
  const fps = new Set([...ring.keks, ...objects].map((kek) => kek.fp));
  return [...fps].map((fp) => {
    const object = objects.find((kek) => kek.fp === fp);
    const entry = ring.keks.find((kek) => kek.fp === fp);
    const provider = entry?.provider ?? (inTpm.has(fp) ? 'tpm' : 'pkcs11');
    return {
      fp,
      state: entry?.state ?? null,
      provider,
      held: isHeld(entry, held[provider]),
      sensitive: object?.sensitive ?? null,
      extractable: object?.extractable ?? null,
    };
  });
}

/** What the ring does not name is in a token. */
function isHeld(entry: RingKek | undefined, held: readonly KekIdentity[]): boolean {
  return entry === undefined || missingKeks([entry], held).length === 0;
}

const places: Readonly<Record<ProviderKind, string>> = {
  pkcs11: 'token',
  tpm: 'TPM',
  vault: 'Vault',
};

function row(kek: Listed): string[] {
  const place = places[kek.provider];
  const notes: string[] = [];
  if (kek.state === 'destroyed' && kek.held)
    notes.push('its key is still there: kleidi key destroy');
  if (kek.state !== 'destroyed' && !kek.held) notes.push(`not in the ${place} of this host`);
  if (kek.state === null) notes.push('not in the ring: left by an interrupted command, or foreign');
  if (kek.extractable === true) notes.push('EXTRACTABLE: whoever has the PIN can copy it');
  if (kek.sensitive === false) notes.push('NOT SENSITIVE: whoever has the PIN can read it');
  return [kek.fp, kek.state ?? '-', kek.held ? place : 'NOTHING', notes.join('; ')];
}
