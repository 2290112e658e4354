// The streams of one connection by their ids, which a client may use once and in rising order.
// Source: RFC 9113, 5.1 and 5.1.1.
import type { Stream } from './stream.ts';

/** Frames for a stream that was reset here are under way for a while; then they are a fault. */
const rememberedResets = 256;

export class Streams {
  readonly #open = new Map<number, Stream>();
  readonly #reset = new Set<number>();
  #lastId = 0;

  /** The newest that was begun. */
  get lastId(): number {
    return this.#lastId;
  }

  get count(): number {
    return this.#open.size;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  all(): Stream[] {
    return [...this.#open.values()];
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
    this.#open.set(stream.id, stream);
  }

  remove(id: number): void {
    this.#open.delete(id);
  }

  forget(id: number): void {
    this.#open.delete(id);
    this.#reset.add(id);
    const [oldest = id] = this.#reset;
    if (this.#reset.size > rememberedResets) this.#reset.delete(oldest);
  }
}
