// How much a client may send: what it asks for in SETTINGS, and the window of the connection.
// Bodies are kept by who answers, within bounds of its own, so the window is given back as soon as
// bytes have come; that of a stream never, since one body is all that comes on it.
// Source: RFC 9113, 5.2 and 6.9.
import { Breach, defaultWindowBytes, errorCode, frameType, setting, uint32 } from './frame.ts';
import type { Outbox } from './outbox.ts';

export interface SessionLimits {
  /** Open at once. */
  readonly streams: number;
  /** Of one request's body; what comes beyond breaks the stream. */
  readonly bodyBytes: number;
  /** Of one request's fields, as they are kept. */
  readonly headBytes: number;
}

const windowBytes = 1024 * 1024;

export class Inflow {
  readonly #outbox: Outbox;
  #takenBytes = 0;

  private constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  /** Says first what is offered, as both ends must. */
  static offer(outbox: Outbox, limits: SessionLimits): Inflow {
    const settings = [
      [setting.maxConcurrentStreams, limits.streams],
      [setting.initialWindowSize, limits.bodyBytes],
      [setting.maxHeaderListSize, limits.headBytes],
    ] as const;
    const payload = settings.flatMap(([id, value]) => [0, id, ...uint32(value)]);
    outbox.frame(frameType.settings, 0, 0, payload);
    outbox.frame(frameType.windowUpdate, 0, 0, uint32(windowBytes - defaultWindowBytes));
    return new Inflow(outbox);
  }

  /** @throws Breach it was not let send so much */
  take(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes > windowBytes) {
      throw new Breach(errorCode.flowControlError, 'more than the window');
    }
    if (this.#takenBytes < windowBytes / 2) return;
    this.#outbox.frame(frameType.windowUpdate, 0, 0, uint32(this.#takenBytes));
    this.#takenBytes = 0;
  }
}
