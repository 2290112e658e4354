// Proof for `provision --replace lost-token`: the token of this host cannot be used any more,
// and another member has every KEK that this host may have written with.
import type { Config } from '../../config.ts';
import { type ErrorCode, KleidiError } from '../../errors.ts';
import { otherMachine } from '../../host/machine.ts';
import { readAnnounced } from '../../keyring/changetimes.ts';
import { isUnretired } from '../../keyring/ring.ts';
import { readRingIfWhole } from '../../keyring/ringfile.ts';
import { type RingView, requireSucceeds } from '../../keyring/succession.ts';
import type { StateResponse } from '../../kms/contract.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import type { OtherRing } from '../ring/expecteddigest.ts';

/** What says that token or PIN is gone. A missing module or program says nothing of them. */
const lost: ReadonlySet<ErrorCode> = new Set([
  ...(['token-missing', 'token-damaged', 'pin-missing', 'pin-refused'] as const),
  ...(['module-failed', 'module-crashed', 'child-failed'] as const),
]);

/**
 * @param member the ring of another member, as its digest says; undefined where none was given
 * @param state of the daemon; undefined where none answers
 * @returns what was proved, as sentences
 * @throws KleidiError refused
 */
export async function proveLostToken(
  config: Config,
  member: OtherRing | undefined,
  state: StateResponse | undefined,
): Promise<readonly string[]> {
  requireThisMachine(config);
  const why = await whyLost(config);
  if (member === undefined) throw withoutMember();
  const what = 'another member does not have what this host had; nothing was changed';
  const [local, announced] = [await readRingIfWhole(config.ring), await readAnnounced(config.ring)];
  for (const mine of [local, announced, state]) {
    if (mine !== undefined) requireSucceeds(what, seenFrom(member, mine), mine);
  }
  const { ring } = member;
  const fps = ring.keks.filter(isUnretired).map(({ fp }) => fp);
  if (fps.length === 0) throw refused('the ring of the member has no KEK', withMember);
  return [
    `The token of this host cannot be used: ${why}.`,
    `Another member, or a backup with the recovery key, has ring '${ring.ring}', generation ${ring.generation}: KEK ${fps.join(', ')}, and every one that this host knows of.`,
  ];
}

/** The generation of a backup says nothing: restore takes none that was announced. */
function seenFrom({ ring, isBackup }: OtherRing, { generation }: RingView): RingView {
  return isBackup ? { ...ring, generation: Math.max(ring.generation, generation + 1) } : ring;
}

const withMember =
  'on a member that serves: kleidi ring export --out ring.json; here: kleidi provision --replace lost-token --member-ring ring.json --expect DIGEST';

function requireThisMachine({ ring }: Config): void {
  const fault = otherMachine(ring);
  if (fault === undefined) return;
  throw refused(
    fault,
    'if it is the same host, put its old machine-id back first: its PIN opens under that one only; a copy: kleidi provision --replace copied-disk',
  );
}

async function whyLost(config: Config): Promise<string> {
  try {
    const { length } = await new TokenCommand(config).list();
    if (length === 0 && (await mayHaveSealed(config))) return 'it opens, and has no KEK';
    throw refused(
      `the token opens and holds ${length} KEKs, so it is not lost`,
      'what it lacks comes by kleidi key request and kleidi join',
    );
  } catch (thrown) {
    const error = KleidiError.from(thrown);
    if (lost.has(error.code)) return error.message;
    throw error;
  }
}

/** Else an empty token is as it should be. */
async function mayHaveSealed({ ring: path }: Config): Promise<boolean> {
  const ring = await readRingIfWhole(path);
  return ring === undefined || ring.keks.length > 0 || (await readAnnounced(path)) !== undefined;
}

function withoutMember(): KleidiError {
  return refused('it is not proved that another member has the KEKs of this host', withMember);
}

function refused(message: string, hint: string): KleidiError {
  return new KleidiError('refused', `${message}; nothing was changed`, { hint });
}
