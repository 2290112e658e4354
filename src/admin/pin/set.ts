// kleidi pin set: another PIN for a token. Without a change of the token it is tried there
// before it is kept; with one it is kept before the token has it.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { readSecret } from '../../host/credentials.ts';
import type { RecoveryKey } from '../../keyring/recoverypublickey.ts';
import type { StateResponse } from '../../kms/contract.ts';
import type { PinUser } from '../../providers/pkcs11/refusedpin.ts';
import type { KekDescription } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { opens, referenceOf, settleEarlier, settlePending, writePending } from './pending.ts';

interface NewPin {
  readonly who: PinUser;
  readonly pin: string;
  /** For the copy of the PIN that this key opens, where there is to be one. */
  readonly recovery: RecoveryKey | undefined;
  /** Of the running daemon; undefined where none runs. */
  readonly state: StateResponse | undefined;
}

/**
 * The token has it already. Call it under the ring's lock, after `settleEarlier`.
 * @throws KleidiError pin-refused, token-damaged; nothing is changed then
 */
export async function keepPin(config: Config, wish: NewPin): Promise<void> {
  const { who, pin, recovery, state } = wish;
  const keks = await opens(config, who, pin);
  if (keks === undefined) throw refusedPin(config, who);
  if (who === 'user') requireWhole(keks, state);
  await writePending(config, who, pin, recovery);
  await settlePending(config, who);
}

/**
 * Gives it to the token. Call it as `keepPin`.
 * @throws KleidiError pin-refused, pin-missing, token-damaged, refused; nothing is changed then
 */
export async function changePin(config: Config, wish: NewPin): Promise<void> {
  const { who, pin, recovery, state } = wish;
  const old = await readSecret(referenceOf(config, who), process.env);
  const keks = await opens(config, who, old);
  if (keks === undefined) throw refusedKept(config, who);
  if (who === 'user') requireWhole(keks, state);
  await writePending(config, who, pin, recovery);
  try {
    await new TokenCommand(config).changePin(who, old, pin);
  } catch (error) {
    // Whichever it has: where that cannot be told now, the new one waits on.
    const earlier = await settleEarlier(config, who).catch(() => undefined);
    if (earlier !== 'finished') throw error;
  }
  await settlePending(config, who);
}

/** What the daemon serves from memory must be there for its next process. */
function requireWhole(keks: readonly KekDescription[], state: StateResponse | undefined): void {
  const held = new Set(keks.map(({ fp, check }) => `${fp} ${check}`));
  const served = state?.keks.filter((kek) => kek.provider === 'pkcs11' && kek.verified) ?? [];
  const lost = served.filter(({ fp, check }) => !held.has(`${fp} ${check}`));
  if (lost.length === 0) return;
  const fps = lost.map(({ fp }) => fp).join(', ');
  throw new KleidiError(
    'token-damaged',
    `the token on disk lacks KEK ${fps}, which the daemon serves from memory; nothing was changed`,
    { hint: 'restore the token folder first, and do not restart kleidi: kleidi status' },
  );
}

function nameOf(who: PinUser): string {
  return who === 'so' ? 'SO PIN' : 'PIN';
}

function refusedPin({ pkcs11 }: Config, who: PinUser): KleidiError {
  return new KleidiError(
    'pin-refused',
    `token '${pkcs11.token}' refuses the new ${nameOf(who)}; nothing was changed`,
    {
      hint: `it must be the ${nameOf(who)} that the token has; to give the token another one: --change. A token may lock after a few wrong ones: each is tried once, and one that became right since then counts as refused until /run/kleidi-daemon/refused-${who === 'so' ? 'so-' : ''}pin is removed`,
    },
  );
}

function refusedKept({ pkcs11 }: Config, who: PinUser): KleidiError {
  return new KleidiError(
    'pin-refused',
    `token '${pkcs11.token}' refuses the ${nameOf(who)} that is kept; nothing was changed`,
    { hint: 'where the token has another one already, name that: kleidi pin set without --change' },
  );
}
