// A call apart from what carries it, as those see it who bound what clients may hold.
import type { Refusal } from './grpcstatus.ts';

export interface CallWatcher {
  closed(): void;
}

export interface CallStream {
  readonly path: string;
  /** Names and values of its headers, as they are kept. */
  readonly headerBytes: number;
  /** All of the request has come. */
  readonly isWhole: boolean;
  /** An answer is on its way, or a refusal. */
  readonly isAnswered: boolean;
  /** Ended by RST_STREAM, whoever sent it, and not by its answer. */
  readonly isReset: boolean;
  readonly isClosed: boolean;
  /** What the client gave it, in the clock of performance.now(); Infinity: nothing to look for. */
  readonly endMs: number;
  /** @param watcher told once, when nothing of the call is left */
  watch(watcher: CallWatcher): void;
  /** RST_STREAM, which frees what the call holds. @param code of HTTP/2 */
  reset(code: number): void;
  /** Nothing where there is an answer already. */
  refuse(refusal: Refusal): void;
}
