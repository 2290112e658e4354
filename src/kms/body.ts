// The body of a request while it comes. In one piece, however many the client sends: a Buffer for
// each of 65,000 bytes would take a hundred times what they hold.

const leastBytes = 64;
const none = Buffer.alloc(0);

export class Body {
  #bytes = 0;
  /** Twice as long as what it holds, at most. */
  #buffer: Buffer = none;

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param part lies in memory that is used again, unless `isLast`
   * @param isLast `take` follows at once; a body that comes in one part is not copied
   */
  add(part: Buffer, isLast: boolean): void {
    if (isLast && this.#bytes === 0) {
      this.#buffer = part;
      this.#bytes = part.length;
      return;
    }
    this.#grow(this.#bytes + part.length);
    this.#buffer.set(part, this.#bytes);
    this.#bytes += part.length;
  }

  /** All of it; nothing is kept. */
  take(): Buffer {
    const whole = this.#buffer.subarray(0, this.#bytes);
    this.#buffer = none;
    this.#bytes = 0;
    return whole;
  }

  #grow(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, bytes, leastBytes));
    larger.set(this.#buffer.subarray(0, this.#bytes));
    this.#buffer = larger;
  }
}
