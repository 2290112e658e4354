// Asks the running API server of this host before a phase is taken, and waits until it has
// taken up what was changed.
import { setTimeout as sleep } from 'node:timers/promises';
import { isFlagged } from '../../apiserver/installation.ts';
import { ApiserverClient } from '../../apiserver/live/client.ts';
import { readLive } from '../../apiserver/live/livestate.ts';
import { writeMarker } from '../../apiserver/live/marker.ts';
import { pendingRestart, pendingText } from '../../apiserver/pending.ts';
import { configurationOf, type Plan } from '../../apiserver/plan.ts';
import { KleidiError } from '../../errors.ts';
import { readRingIfAny } from '../../keyring/ringfile.ts';
import { note } from '../../terminal.ts';
import { type ApiserverHost, openApiserverHost } from './host.ts';
import { judgeLive, type Live, lackingIn, triedText, withTried } from './livereport.ts';

const everyMs = 2_000;
/** A line now and then: it is known that the command still waits, and for what. */
const progressMs = 20_000;

export interface Waiting {
  readonly kubeconfig: string | undefined;
  readonly patienceMs: number;
}

interface Asking {
  readonly kubeconfig: string | undefined;
  /**
   * Whether a Secret is written to know the key id in use: once it is up to date, and where it
   * is to write through kleidi.
   */
  readonly triesWrite: boolean;
}

/** @throws KleidiError apiserver-unreachable, refused */
export async function askLive(
  host: ApiserverHost,
  { kubeconfig, triesWrite }: Asking,
): Promise<Live> {
  const client = ApiserverClient.open(host, kubeconfig);
  try {
    const live = judgeLive(await readLive(client, host), await readRingIfAny(host.config.ring));
    const isTried = triesWrite && live.isUpToDate && writesSealed(host);
    return isTried ? withTried(live, await writeMarker(client)) : live;
  } finally {
    client.close();
  }
}

/** By its files. */
function writesSealed(host: ApiserverHost): boolean {
  const phase = configurationOf(host)?.phase;
  return phase === 'write' || phase === 'only';
}

/**
 * Waits until it runs on the file, has asked for the key id of the ring, and writes with it.
 * Where that cannot be tried, since something refuses Secrets in kube-system, it says so.
 * @throws KleidiError change-not-applied, with what is lacking; refused
 */
export async function awaitLive(
  host: ApiserverHost,
  { kubeconfig, patienceMs }: Waiting,
): Promise<Live> {
  const startMs = performance.now();
  let nextLineMs = 0;
  for (;;) {
    const found = await lookLive(host, kubeconfig);
    if (found.live?.isUpToDate === true) {
      const { tried } = found.live;
      if (tried?.kind === 'cannot-tell') note(`it writes ${triedText(tried)}`);
      return found.live;
    }
    const waitedMs = performance.now() - startMs;
    if (waitedMs > patienceMs) throw notTakenUp(host, patienceMs, found.lacks);
    if (waitedMs >= nextLineMs) {
      note(
        `waiting for the API server of this host (${Math.round(waitedMs / 1_000)} s): ${found.lacks}`,
      );
      nextLineMs += progressMs;
    }
    await sleep(everyMs);
  }
}

/** It may be restarting: then it cannot be asked for a moment. */
async function lookLive(
  host: ApiserverHost,
  kubeconfig: string | undefined,
): Promise<{ readonly live?: Live; readonly lacks: string }> {
  try {
    const live = await askLive(host, { kubeconfig, triesWrite: true });
    return { live, lacks: lackingIn(live) };
  } catch (error) {
    if (!(error instanceof KleidiError) || error.code !== 'apiserver-unreachable') throw error;
    return { lacks: error.message };
  }
}

function notTakenUp(host: ApiserverHost, patienceMs: number, lacks: string): KleidiError {
  const pending = pendingRestart(host);
  const why = pending === undefined ? lacks : `${pendingText(pending)}; ${lacks}`;
  return new KleidiError(
    'change-not-applied',
    `the API server of this host has not taken up the change within ${patienceMs / 1_000} s: ${why}`,
    { hint: `${host.distribution.restart}; then kleidi apiserver status --live` },
  );
}

/**
 * After a promotion: the API server of this host asks for the new key id within a minute.
 * @returns undefined where none uses kleidi
 * @throws KleidiError as awaitLive
 */
export async function awaitPromotion(
  configPath: string,
  waiting: Waiting,
): Promise<Live | undefined> {
  const host = await openApiserverHost({ configPath, text: () => undefined });
  return isFlagged(host) ? awaitLive(host, waiting) : undefined;
}

/**
 * Before phase write or only: what others write by then it could not read. One that does not
 * run, or cannot be asked, contradicts nothing: its next start reads the files.
 * @throws KleidiError refused
 */
export async function requireNoContradiction(
  host: ApiserverHost,
  { changes }: Plan,
): Promise<void> {
  if (host.root !== '/') return;
  const live = await askLive(host, { kubeconfig: undefined, triesWrite: false }).catch(
    (error: unknown) => {
      note(`the running API server was not asked: ${KleidiError.from(error).message}`);
      return undefined;
    },
  );
  if (live === undefined || live.state.runsOnFile === 'yes') return;
  // The same phase again changes nothing that could be read or not.
  if (live.state.runsOnFile === 'cannot-tell' && changes.length === 0) return;
  throw new KleidiError(
    'refused',
    `the running API server of this host is not at the phase of its files: ${lackingIn(live)}`,
    {
      hint: `${host.distribution.restart}; then kleidi apiserver status --live, and this command again`,
    },
  );
}
