// `kleidi provision --replace`: the way from a proof to a host without token and ring, which
// provision then makes anew. The record names what is under way before the first file is
// moved, so that a run that was killed is gone on with, and asks for no proof again.
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { withFileLock } from '../../filelock.ts';
import { writeFileAtomically } from '../../files.ts';
import { parseReference } from '../../host/credentials.ts';
import { requireNoLostHostKey } from '../../host/hostkey.ts';
import { readRingIfWhole } from '../../keyring/ringfile.ts';
import type { StateResponse } from '../../kms/contract.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { isSoftHsm, softHsmFolder } from '../../softhsm.ts';
import { note } from '../../terminal.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import type { OtherRing } from '../ring/expecteddigest.ts';
import { proveCopiedDisk } from './copieddisk.ts';
import { proveLostToken } from './losttoken.ts';
import { moveAside, moveContentsAside, renameAside } from './moveaside.ts';
import { proveNeverSealed } from './neversealed.ts';
import { provisionedParts } from './parts.ts';
import type { Wish } from './plan.ts';
import { type ProvisionRecord, writeRecord } from './record.ts';
import type { ReplaceCase, Replacement } from './replacement.ts';

/** What the operator gives as a proof. */
export interface ReplaceWish {
  readonly case: ReplaceCase;
  readonly forgotten: readonly Fingerprint[];
  readonly member: OtherRing | undefined;
  readonly isCopy: boolean;
  /** Of the daemon, before anything is changed; undefined where none runs, or answers. */
  readonly state: StateResponse | undefined;
}

/**
 * Call it under the ring's lock. Safe to repeat.
 * @returns the record to go on with
 * @throws KleidiError refused; nothing is changed then
 */
export async function replaceHost(
  config: Config,
  wish: Wish,
  replace: ReplaceWish,
  record: ProvisionRecord | undefined,
): Promise<ProvisionRecord> {
  if (record !== undefined && (await isSameReplacement(config, wish, replace, record))) {
    return record;
  }
  const next = await provenRecord(config, wish, replace, record);
  await writeRecord(config, next);
  return next;
}

/** Under way, or at its end: then what it has made must still be there. */
async function isSameReplacement(
  config: Config,
  wish: Wish,
  { case: wanted, forgotten }: ReplaceWish,
  { replaced, done, ring }: ProvisionRecord,
): Promise<boolean> {
  if (replaced === undefined) return false;
  if (!done) {
    if (replaced.case === wanted) return true;
    throw refused(
      `a replacement (${replaced.case}) was begun on this host and has not come to its end`,
      `kleidi provision --replace ${replaced.case} goes on with it`,
    );
  }
  const isSame = replaced.case === wanted && (!wish.ringNamed || wish.ring === ring);
  if (!isSame || replaced.forgotten.join() !== [...forgotten].sort().join()) return false;
  return new TokenCommand(config).list().then(
    () => true,
    () => false,
  );
}

async function provenRecord(
  config: Config,
  wish: Wish,
  replace: ReplaceWish,
  record: ProvisionRecord | undefined,
): Promise<ProvisionRecord> {
  requireReplaceable(config);
  const proved = await prove(config, wish, replace, record);
  if (replace.case !== 'copied-disk') await requireSealing(config);
  const { replaced: _earlier, ...before } = record ?? {};
  const replaced: Replacement = {
    case: replace.case,
    folder: join(dirname(config.ring), 'replaced', new Date().toISOString()),
    proved,
    forgotten: [...replace.forgotten].sort(),
    before: record === undefined ? null : before,
    moved: false,
  };
  const { token, machine } = wish;
  const tokenOnly = replace.case === 'never-sealed' ? wish.tokenOnly : true;
  const ring = await nameOf(config, wish, replace, record);
  return { format: 1, ring, token, machine, tokenOnly, done: false, replaced };
}

function prove(
  config: Config,
  wish: Wish,
  { case: wanted, forgotten, member, isCopy, state }: ReplaceWish,
  record: ProvisionRecord | undefined,
): Promise<readonly string[]> | readonly string[] {
  switch (wanted) {
    case 'never-sealed':
      return proveNeverSealed(config, state, forgotten);
    case 'lost-token':
      return proveLostToken(config, member, state);
    case 'copied-disk':
      return proveCopiedDisk(record, wish.machine, isCopy);
  }
}

/** A lost token keeps the ring of the member that has its KEKs. */
async function nameOf(
  { ring: path }: Config,
  wish: Wish,
  { case: wanted, member }: ReplaceWish,
  record: ProvisionRecord | undefined,
): Promise<string> {
  if (member !== undefined) {
    const { ring } = member.ring;
    if (!wish.ringNamed || wish.ring === ring) return ring;
    throw refused(
      `the member has ring '${ring}', not '${wish.ring}'; nothing was changed`,
      'leave --ring out',
    );
  }
  if (wish.ringNamed || wanted === 'never-sealed') return wish.ring;
  return (await readRingIfWhole(path))?.ring ?? record?.ring ?? wish.ring;
}

function requireReplaceable({ pkcs11 }: Config): void {
  if (isSoftHsm(pkcs11.module)) return;
  throw refused(
    `--replace is for a token of SoftHSM, which is files; ${pkcs11.module} is another module; nothing was changed`,
    'make a new token with the tool of the HSM, and name it in pkcs11.token',
  );
}

/** Before anything is moved: a host key that can be put back brings the PIN back. */
async function requireSealing({ pkcs11 }: Config): Promise<void> {
  const isSealed = [pkcs11.pin, pkcs11.soPin].some(
    (reference) => parseReference(reference).kind === 'credential',
  );
  if (isSealed) await requireNoLostHostKey();
}

/** Everything of before into the folder. @returns the record that says so */
export async function moveReplaced(
  config: Config,
  record: ProvisionRecord,
): Promise<ProvisionRecord> {
  const { replaced } = record;
  if (replaced === undefined || replaced.moved) return record;
  const { folder, before } = replaced;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFileAtomically(join(folder, 'NOTE'), noteOf(replaced), 0o600);
  if (before !== null) {
    const text = `${JSON.stringify(before, null, 2)}\n`;
    await writeFileAtomically(join(folder, 'provision.json'), text, 0o600);
  }
  const { files, hostKeys, tokens } = await provisionedParts(config, replaced.case);
  for (const path of files) await moveAside(path, folder);
  for (const path of hostKeys) await renameAside(path);
  const move = (): Promise<void> => moveContentsAside(tokens, join(folder, 'tokens'));
  const isThere = softHsmFolder(config.pkcs11.softhsmConf) === tokens;
  // A command that was killed may have left its child at work there.
  await (isThere ? withFileLock(tokens, move) : move());
  const moved = { ...record, replaced: { ...replaced, moved: true } };
  await writeRecord(config, moved);
  note(`what was here before is in ${folder}`);
  return moved;
}

function noteOf({ case: which, folder, proved }: Replacement): string {
  return `kleidi provision --replace ${which}, ${folder.split('/').at(-1)}

${proved.join('\n')}

Here are the token, the PINs (pin, so-pin), the ring and its bundles as they were before, each
under its old name. Whoever has token and PIN has the KEKs. Nothing of kleidi reads this folder.
Delete it once this host serves and nothing that counts needs what is here.
`;
}

function refused(message: string, hint: string): KleidiError {
  return new KleidiError('refused', message, { hint });
}
