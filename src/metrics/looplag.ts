// How late the event loop is: a timer that comes late was held up, and so was each call.
import { Histogram } from '../kms/histogram.ts';

const everyMs = 100;
const boundsSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export class LoopLag {
  readonly histogram = new Histogram(boundsSeconds);
  readonly #timer: NodeJS.Timeout;
  #dueMs = performance.now() + everyMs;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), everyMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const nowMs = performance.now();
    this.histogram.observe(Math.max(0, nowMs - this.#dueMs) / 1000);
    this.#dueMs = nowMs + everyMs;
  }
}
