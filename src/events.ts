// The closed list of what kleidi logs: each event with its MESSAGE_ID for the
// journal, its level and its text, and each field with its name there. An id,
// once released, never changes: systemd/kleidi.catalog explains it to
// `journalctl -x`, and somebody's alert may name it.
import type { ErrorCode } from './errors.ts';

type EventLevel = 'debug' | 'info' | 'warn' | 'error';

interface EventKind {
  /** 128 random bits, made once; see sd-id128(3). */
  readonly id: string;
  readonly level: EventLevel;
  /** Said where the caller has nothing more exact. */
  readonly text: string;
}

const of =
  (level: EventLevel) =>
  (id: string, text: string): EventKind => ({ id, level, text });
const [debug, info, warn, error] = [of('debug'), of('info'), of('warn'), of('error')];

export const events = {
  // The daemon's life.
  listening: info('06944904cbce4399a52ee75be00fa0bf', 'listening'),
  stopping: info('c8be65c1dd0245d9a7308ca550829a0a', 'stopping'),
  // What it serves.
  serving: info('dcafcb1e46b44e08a3df6d79c3f83fba', 'serving'),
  'not-serving': error('6255d848664642c0a279e7670b78a1cd', 'not serving'),
  'ring-changed': info('dfe5be7e71804d55a9a87b26a380bf77', 'serving by a new ring file'),
  'ring-refused': error('0bee1598434f4414a2ede3f78546ba95', 'the ring file is refused'),
  'kek-missing': warn('c73ebac56ba74195a9350fbfcd10cf72', 'this host lacks KEKs'),
  'kek-near-limit': warn('a43b07fdc2984740ae3cc6dfa98b503f', 'a KEK should be rotated'),
  'provider-failed': warn('dd6a28a5b22c4196bd312a1b73103a9f', 'a provider of KEKs fails'),
  'provider-back': info('978a82ee225640349eb3d10f68132ff1', 'a provider of KEKs works again'),
  // The token.
  'token-reopened': info('fb4d6d1c9cc94d7aa2b1c77add25e8cb', 'opening the token again'),
  'token-damaged': error('c927f6208fda42f8a7a4211ec6638fcd', 'token on disk is damaged'),
  'token-unchecked': warn(
    '86601552ba13474bb9e79982e5074d3a',
    'the token on disk could not be checked',
  ),
  'token-whole': info('e60fc8d1ec404617a37786bc27693579', 'the token on disk is whole again'),
  'module-broken': error(
    '8d74e655cb684a70a301e6433d87815f',
    'the PKCS#11 module is beyond repair: kleidi kills itself and is started afresh',
  ),
  // Metrics.
  'metrics-unavailable': warn('bd6291b0fe714390a671f3cd027da5cb', 'there are no metrics'),
  // Calls.
  'call-failed': warn('50890ca3096a48eea760525286a70fd7', 'a call was refused'),
  'call-answered': debug('f88d02ce7fdf4fd8a2c35c48b92ae309', 'answered'),
  'connections-full': warn(
    'c8b114449064404fb1165317f66f4409',
    'as many connections as allowed: the one longest without a finished call makes room',
  ),
  'calls-bounded': warn(
    'fc0e9bcadd4c41e6bc05139e0d907541',
    'a client asks for too much: calls were refused or cut',
  ),
  // Commands that change a host; in the journal as kleidi-admin.
  'admin-done': info('db0ded748b2847d0ba5f7facfc7ff399', 'done'),
  'admin-refused': warn('06e9fc9f34e2411c8fd59c4e385fb9c1', 'not done'),
} as const satisfies Record<string, EventKind>;

export type EventName = keyof typeof events;

/** What an event may carry, and the journal's name for it. None is a secret. */
export const journalFields = {
  event: 'KLEIDI_EVENT',
  code: 'KLEIDI_ERROR_CODE',
  hint: 'KLEIDI_HINT',
  keyId: 'KLEIDI_KEY_ID',
  keyIdHash: 'KLEIDI_KEY_ID_HASH',
  ring: 'KLEIDI_RING',
  generation: 'KLEIDI_RING_GENERATION',
  keks: 'KLEIDI_RING_KEKS',
  fp: 'KLEIDI_KEK',
  provider: 'KLEIDI_PROVIDER',
  rpc: 'KLEIDI_RPC',
  uid: 'KLEIDI_UID',
  alsoUnlogged: 'KLEIDI_ALSO_UNLOGGED',
  ms: 'KLEIDI_MS',
  reason: 'KLEIDI_REASON',
  socket: 'KLEIDI_SOCKET',
  version: 'KLEIDI_VERSION',
  command: 'KLEIDI_COMMAND',
  arguments: 'KLEIDI_ARGUMENTS',
  exitCode: 'KLEIDI_EXIT_CODE',
  loginUid: 'KLEIDI_LOGIN_UID',
  sudoUser: 'KLEIDI_SUDO_USER',
  generationBefore: 'KLEIDI_RING_GENERATION_BEFORE',
} as const;

export type FieldName = keyof typeof journalFields;

/** In the journal a list becomes one field a value. */
export type EventFields = {
  readonly [Name in Exclude<FieldName, 'event' | 'code'>]?:
    | string
    | number
    | readonly string[]
    | undefined;
} & { readonly code?: ErrorCode };
