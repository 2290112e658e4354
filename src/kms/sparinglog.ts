// One line per kind in ten seconds, whatever clients do; it says how many it stands for.
import type { EventFields, EventName } from '../events.ts';
import type { Log } from '../log.ts';

const lineEveryMs = 10_000;

export class SparingLog {
  readonly #log: Log;
  readonly #kinds = new Map<string, { readonly lineMs: number; readonly unlogged: number }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param kind what counts as the same, beside the event; undefined: every line is written */
  event(name: EventName, kind: string | undefined, fields: EventFields, text?: string): void {
    if (kind === undefined) {
      this.#log.event(name, fields, text);
      return;
    }
    const nowMs = performance.now();
    const key = `${name} ${kind}`;
    const seen = this.#kinds.get(key);
    if (seen !== undefined && nowMs - seen.lineMs < lineEveryMs) {
      this.#kinds.set(key, { ...seen, unlogged: seen.unlogged + 1 });
      return;
    }
    this.#kinds.set(key, { lineMs: nowMs, unlogged: 0 });
    const unlogged = seen?.unlogged ?? 0;
    this.#log.event(name, unlogged === 0 ? fields : { ...fields, alsoUnlogged: unlogged }, text);
  }
}
