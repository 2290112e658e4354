// The streams of one connection by their ids, which a client may use once and in rising order.
// Source: RFC 9113, 5.1 and 5.1.1.
import type { Stream } from './stream.ts';

/** Frames for a stream that was reset here are under way for a while; then they are a fault. */
const rememberedResets = 256;

export class Streams {
  /**
   * The newest last, which most frames are for. Not a Map: tables that it has outgrown keep what
   * has ended alive until the next full collection, and one is outgrown every few calls.
   */
  readonly #open: Stream[] = [];
  readonly #reset = new Set<number>();
  #lastId = 0;

  /** The newest that was begun. */
  get lastId(): number {
    return this.#lastId;
  }

  get count(): number {
    return this.#open.length;
  }

  get(id: number): Stream | undefined {
    return this.#open.findLast((stream) => stream.id === id);
  }

  all(): Stream[] {
    return [...this.#open];
  }

  isIdle(id: number): boolean {
    return id > this.#lastId || id % 2 === 0;
  }

  wasResetHere(id: number): boolean {
    return this.#reset.has(id);
  }

  use(id: number): void {
    this.#lastId = id;
  }

  add(stream: Stream): void {
    this.#open.push(stream);
  }

  remove(id: number): void {
    const at = this.#open.findIndex((stream) => stream.id === id);
    if (at >= 0) this.#open.splice(at, 1);
  }

  forget(id: number): void {
    this.remove(id);
    this.#reset.add(id);
    const [oldest = id] = this.#reset;
    if (this.#reset.size > rememberedResets) this.#reset.delete(oldest);
  }
}
