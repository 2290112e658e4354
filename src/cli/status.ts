// kleidi status: what the running daemon knows of itself.

import { askState } from '../admin/daemonclient.ts';
import { defaultConfigPath, loadConfig } from '../config.ts';
import { KleidiError } from '../errors.ts';
import { isErrno } from '../files.ts';
import type { KekReport, StateResponse } from '../kms/contract.ts';
import { schema } from '../schema.ts';
import { paint, print, printJson, table } from '../terminal.ts';
import { jsonOption, text } from './option.ts';
import { command } from './verb.ts';

export const status = command({
  summary: 'what the running daemon knows of itself',
  notes: [
    `Asks the running daemon. Exit code 0: it serves and is healthy; 1: it does not serve, or
    this host lacks a KEK of the ring, or no daemon answers. It also says when a client last
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
    return state.healthz === 'ok' ? 0 : 1;
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

function headline({ healthz, failure }: StateResponse): string {
  if (failure !== '') return `${paint('not serving', 'red', process.stdout)}: ${failure}`;
  if (healthz !== 'ok') return `${paint('degraded', 'yellow', process.stdout)}: ${healthz}`;
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
