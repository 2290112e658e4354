// Proof for `provision --replace never-sealed`: nothing was ever sealed on this host, so that
// its KEK may be given up. By the files of the host, by what its daemon has counted, and by
// the operator, who names each KEK by its whole fingerprint.
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { readAnnounced } from '../../keyring/changetimes.ts';
import { isUnretired } from '../../keyring/ring.ts';
import { readRingIfAny } from '../../keyring/ringfile.ts';
import type { StateResponse } from '../../kms/contract.ts';
import type { Fingerprint } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { apiserverPast, apiserverUse } from './apiserveruse.ts';

/** The first KEK of a ring has generation 1; a later one was made because that was in use. */
const mostGeneration = 1;

/**
 * @param state of the running daemon; undefined where none runs
 * @param forgotten what the operator has named
 * @returns what was proved, as sentences
 * @throws KleidiError refused, with all that is missing
 */
export async function proveNeverSealed(
  config: Config,
  state: StateResponse | undefined,
  forgotten: readonly Fingerprint[],
): Promise<readonly string[]> {
  const [generation, fps] = [await generationOf(config, state), await keksToForget(config)];
  const missing = [
    ...apiserverUse(config),
    ...apiserverPast(config),
    ...(generation > mostGeneration ? [`the ring is at generation ${generation}`] : []),
    ...callsOf(state),
    ...unnamed(fps, forgotten),
  ];
  if (missing.length > 0) throw refused(missing);
  return [
    'No API server of this host uses kleidi: no record of it, no flag, and an EncryptionConfiguration that is absent or at phase read.',
    `The ring is at generation ${generation}; ${state === undefined ? 'no daemon runs' : 'its daemon has sealed and opened nothing, and nobody has called it'}.`,
    ...fps.map((fp) => `The operator gave KEK ${fp} up.`),
  ];
}

/** Of the ring and of the token, so far as it opens. @throws KleidiError ring-invalid */
export async function keksToForget(config: Config): Promise<readonly Fingerprint[]> {
  const ring = await readRingIfAny(config.ring);
  const announced = ring === undefined ? await readAnnounced(config.ring) : undefined;
  const held = await new TokenCommand(config).list().catch(() => []);
  const named = [...(ring?.keks ?? []), ...(announced?.keks ?? [])].filter(isUnretired);
  return [...new Set([...named, ...held].map(({ fp }) => fp))];
}

async function generationOf(config: Config, state: StateResponse | undefined): Promise<number> {
  const ring = await readRingIfAny(config.ring);
  const announced = await readAnnounced(config.ring);
  return Math.max(ring?.generation ?? 0, announced?.generation ?? 0, state?.generation ?? 0);
}

function callsOf(state: StateResponse | undefined): readonly string[] {
  if (state === undefined) return [];
  const sealed = state.keks.reduce((sum, { encrypts, decrypts }) => sum + encrypts + decrypts, 0);
  return [
    ...(sealed > 0 ? [`the running daemon has sealed or opened ${sealed} seeds`] : []),
    ...(state.clients > 0 ? [`${state.clients} clients are connected to the daemon`] : []),
    ...(state.lastCallUnixMs > 0 ? ['a client has called the running daemon'] : []),
  ];
}

/** One that is not there any more says that the operator means another host. */
function unnamed(
  fps: readonly Fingerprint[],
  forgotten: readonly Fingerprint[],
): readonly string[] {
  const open = fps.filter((fp) => !forgotten.includes(fp));
  const strange = forgotten.filter((fp) => !fps.includes(fp));
  return [
    ...open.map((fp) => `KEK ${fp} is here and was not given up: --forget ${fp}`),
    ...strange.map((fp) => `KEK ${fp} of --forget is not on this host`),
  ];
}

function refused(missing: readonly string[]): KleidiError {
  return new KleidiError(
    'refused',
    `it is not proved that this host has never sealed anything: ${missing.join('; ')}; nothing was changed`,
    {
      hint: 'a ring that has sealed keeps its name, and gets another KEK by kleidi key create and key promote; where the token is lost: kleidi provision --replace lost-token',
    },
  );
}
