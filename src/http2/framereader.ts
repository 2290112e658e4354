// Cuts what a client sends into frames. The preface comes first; a frame is handed on when all of
// it is there.
// Source: RFC 9113, 3.4 and 4.
import { Breach, errorCode, type Frame, headBytes, maxFrameBytes } from './frame.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export class FrameReader {
  /** Of a frame that is not there whole; not more than one frame. */
  #rest: Buffer = Buffer.alloc(0);
  #isPrefaceDue = true;

  /** @throws Breach what follows cannot be read */
  read(bytes: Buffer, take: (frame: Frame) => void): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = this.#isPrefaceDue ? this.#takePreface(all) : 0;
    while (!this.#isPrefaceDue && all.length - at >= headBytes) {
      const length = all.readUIntBE(at, 3);
      if (length > maxFrameBytes) {
        throw new Breach(errorCode.frameSizeError, `a frame of ${length} bytes`);
      }
      const end = at + headBytes + length;
      if (end > all.length) break;
      take({
        type: all[at + 3] ?? 0,
        flags: all[at + 4] ?? 0,
        stream: all.readUInt32BE(at + 5) & 0x7fffffff,
        payload: all.subarray(at + headBytes, end),
      });
      at = end;
    }
    // A copy, or each part would keep what was read with it.
    this.#rest = at === all.length ? Buffer.alloc(0) : Buffer.from(all.subarray(at));
  }

  #takePreface(all: Buffer): number {
    const length = Math.min(all.length, preface.length);
    if (preface.compare(all, 0, length, 0, length) !== 0) {
      throw new Breach(errorCode.protocolError, 'no preface of HTTP/2');
    }
    this.#isPrefaceDue = length < preface.length;
    return this.#isPrefaceDue ? 0 : length;
  }
}
