// A header block, put together from HEADERS and the CONTINUATION frames after it.
// Source: RFC 9113, 6.2 and 6.10.
import { Breach, errorCode, type Frame, flag, unpadded } from './frame.ts';

/** Of the deprecated priority (RFC 9113, 5.3.2). */
const priorityBytes = 5;
/** Empty frames would hold up the connection for ever; what is taken at all fits in one. */
const maxFrames = 16;
const maxBytes = 64 * 1024;

export class HeaderBlock {
  readonly stream: number;
  /** END_STREAM: no body follows. */
  readonly isLast: boolean;
  isWhole: boolean;
  #bytes: Buffer;
  #frames = 1;

  private constructor(frame: Frame, bytes: Buffer) {
    this.stream = frame.stream;
    this.isLast = (frame.flags & flag.endStream) !== 0;
    this.isWhole = (frame.flags & flag.endHeaders) !== 0;
    // What waits for more is copied, or it would keep all that was read with it.
    this.#bytes = this.isWhole ? bytes : Buffer.concat([bytes]);
  }

  /** @throws Breach */
  static of(frame: Frame): HeaderBlock {
    const bytes = unpadded(frame);
    if ((frame.flags & flag.priority) === 0) return new HeaderBlock(frame, bytes);
    if (bytes.length < priorityBytes) {
      throw new Breach(errorCode.frameSizeError, 'HEADERS without their priority');
    }
    return new HeaderBlock(frame, bytes.subarray(priorityBytes));
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** @throws Breach */
  add(frame: Frame): void {
    this.#frames += 1;
    if (this.#frames > maxFrames || this.#bytes.length + frame.payload.length > maxBytes) {
      throw new Breach(errorCode.enhanceYourCalm, 'headers without end');
    }
    this.#bytes = Buffer.concat([this.#bytes, frame.payload]);
    this.isWhole = (frame.flags & flag.endHeaders) !== 0;
  }
}
