// kleidi status: what the running daemon knows of itself.

import { askState } from '../admin/daemonclient.ts';
import { defaultConfigPath, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { isErrno } from '../files.ts';
import type { KekReport, StateResponse } from '../kms/contract.ts';
import { schema } from '../schema.ts';
import { note, paint, print, printJson, table } from '../terminal.ts';
import { jsonOption, text } from './option.ts';
import { command } from './verb.ts';

export const status = command({
  summary: 'what the running daemon knows of itself',
  notes: [
    `Asks the running daemon. Exit code 0: it serves and is healthy; 1: it does not serve, or
    this host lacks a KEK of the ring, or token or ring on disk are not what it serves, or no
    daemon answers. It also says when a client last
    called (an API server does once a minute) since the daemon was started, and how many that
    have called are connected: lastCallUnixMs (0: none) and clients in --json.`,
  ],
  options: {
    socket: text('PATH', 'default: socket in the configuration'),
    json: jsonOption,
  },
  example: 'kleidi status --json',
  async run({ text, json, configPath }) {
    const state = await askState(text('socket') ?? socketOf(configPath));
    if (json) printJson(state);
    else show(state);
    if (!isWell(state)) note('kleidi doctor names the cause, and what to do');
    return isWell(state) ? 0 : 1;
  },
});

/** Who is in kleidi-clients may ask the daemon, and may not read kleidi.yaml. */
function socketOf(configPath: string): string {
  try {
    return loadConfig(configPath).socket;
  } catch (error) {
    const isForbidden = error instanceof KleidiError && isErrno(error.cause, 'EACCES');
    if (!isForbidden || configPath !== defaultConfigPath) throw error;
    return schema.socket.default;
  }
}

function show(state: StateResponse): void {
  print(headline(state));
  print(`kleidi ${state.version}, pid ${state.pid}, since ${time(state.startedUnixMs)}`);
  for (const provider of state.providers) print(`provider ${provider}`);
  if (state.ring !== '')
    print(`ring ${state.ring}, generation ${state.generation}, ${state.digest}`);
  if (state.keyId !== '') print(`key id ${state.keyId}\n       ${state.keyIdHash}`);
  print(
    `self-test: ${time(state.selfTestUnixMs)}, token on disk verified: ${time(state.tokenVerifiedUnixMs)}`,
  );
  print(`last call: ${time(state.lastCallUnixMs)}, clients connected: ${state.clients}`);
  for (const notice of state.notices)
    print(`${paint('notice', 'yellow', process.stdout)}: ${notice}`);
  if (state.keks.length > 0) print(`\n${kekTable(state.keks)}`);
}

/** What serves from memory alone would not come back after a restart. */
function isWell({ healthz, tokenDamaged, ringRefused }: StateResponse): boolean {
  return healthz === 'ok' && !tokenDamaged && !ringRefused;
}

function headline(state: StateResponse): string {
  const { healthz, failure, tokenDamaged } = state;
  if (failure !== '') return `${paint('not serving', 'red', process.stdout)}: ${failure}`;
  const degraded = paint('degraded', 'yellow', process.stdout);
  if (healthz !== 'ok') return `${degraded}: ${healthz}`;
  if (!isWell(state))
    return `${degraded}: it serves from memory; ${tokenDamaged ? 'token' : 'ring'} on disk is not what it serves: do not restart kleidi before that is restored`;
  return paint('serving', 'green', process.stdout);
}

function kekTable(keks: readonly KekReport[]): string {
  const rows = keks.map((kek) => [
    kek.fp,
    kek.state,
    kek.provider,
    kek.verified ? 'yes' : 'NO',
    String(kek.encrypts),
    String(kek.decrypts),
    time(kek.lastDecryptUnixMs),
  ]);
  return table([
    ['FINGERPRINT', 'STATE', 'PROVIDER', 'VERIFIED', 'ENCRYPTS', 'DECRYPTS', 'LAST DECRYPT'],
    ...rows,
  ]);
}

function time(unixMs: number): string {
  return unixMs === 0 ? 'not yet' : new Date(unixMs).toISOString();
}
