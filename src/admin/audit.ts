// The life of a host's ring as its journal tells it (journalctl -t kleidi-admin): each
// command that changes this host leaves one entry, whatever came of it. A command that is
// killed leaves none; the next entry shows the generation that it found.
import { readFileSync } from 'node:fs';
import { loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { type EventFields, type EventName, events, journalFields } from '../events.ts';
import { Journal, journalSocketPath } from '../journal.ts';
import type { KekState, Ring } from '../keyring/ring.ts';
import { readRingIfWhole } from '../keyring/ringfile.ts';
import { journalFieldsOf } from '../logline.ts';
import type { Fingerprint } from '../providers/provider.ts';

const identifier = 'kleidi-admin';
/** pino's numbers. */
const levels = { done: 30, refused: 40 } as const;
/** The kernel's word for: this process comes from no login. */
const noLogin = '4294967295';

interface AdminCall {
  readonly command: string;
  /** As typed. None is a secret: PINs, passphrases and keys come by prompt, pipe or file. */
  readonly args: readonly string[];
  readonly configPath: string;
}

/** @returns what `run` gives @throws KleidiError what `run` throws */
export async function audited(
  call: AdminCall,
  run: () => Promise<number>,
  journalSocket = journalSocketPath,
): Promise<number> {
  const before = await ringNow(call.configPath);
  const note = async (event: EventName, fields: EventFields): Promise<void> => {
    const after = await ringNow(call.configPath);
    send(event, call, { ...whoNow(), ...fields, ...ringFields(before, after) }, journalSocket);
  };
  try {
    const exitCode = await run();
    await note(exitCode === 0 ? 'admin-done' : 'admin-refused', { exitCode });
    return exitCode;
  } catch (thrown) {
    const { code, message, kind } = KleidiError.from(thrown);
    // Wrong use has not got as far as this host.
    if (code !== 'usage')
      await note('admin-refused', { exitCode: kind.exit, code, reason: message });
    throw thrown;
  }
}

/** Undefined where there is none, or none that can be read: what runs says so itself. */
async function ringNow(configPath: string): Promise<Ring | undefined> {
  try {
    return await readRingIfWhole(loadConfig(configPath).ring);
  } catch {
    return undefined;
  }
}

function whoNow(): EventFields {
  return {
    uid: process.getuid?.(),
    loginUid: loginUid(),
    sudoUser: process.env['SUDO_USER'],
  };
}

/** Who has logged in, whatever was switched to since (pam_loginuid(8)). */
function loginUid(): string | undefined {
  try {
    const text = readFileSync('/proc/self/loginuid', 'utf8').trim();
    return text === '' || text === noLogin ? undefined : text;
  } catch {
    return undefined;
  }
}

function ringFields(before: Ring | undefined, after: Ring | undefined): EventFields {
  const ring = after ?? before;
  return {
    ring: ring?.ring,
    generationBefore: before?.generation,
    generation: after?.generation,
    keks: after?.keks.length,
    fp: changedIn(before, after),
  };
}

/** Fingerprints of the KEKs that are new, gone or in another state. */
function changedIn(before: Ring | undefined, after: Ring | undefined): string[] {
  const [was, is] = [statesOf(before), statesOf(after)];
  const all = new Set([...was.keys(), ...is.keys()]);
  return [...all].filter((fp) => was.get(fp) !== is.get(fp));
}

function statesOf(ring: Ring | undefined): ReadonlyMap<Fingerprint, KekState> {
  return new Map(ring?.keks.map(({ fp, state }) => [fp, state]));
}

/** Without what nothing is known of. */
function known(fields: EventFields): EventFields {
  const isKnown = (value: unknown): boolean =>
    value !== undefined && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => isKnown(value)));
}

/** Command and arguments begin its text, and are fields of their own. */
function send(event: EventName, call: AdminCall, fields: EventFields, socket: string): void {
  const [command, args] = [`kleidi ${call.command}`, call.args.join(' ')];
  const level = event === 'admin-done' ? levels.done : levels.refused;
  const msg = `${[command, args].join(' ').trim()}: ${events[event].text}`;
  Journal.open(socket)?.send([
    ...journalFieldsOf({ level, time: Date.now(), msg, event, ...known(fields) }, identifier),
    [journalFields.command, command],
    [journalFields.arguments, args],
  ]);
}
