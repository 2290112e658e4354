// What a client's SETTINGS ask of what is sent to it.
// Source: RFC 9113, 6.5.
import {
  Breach,
  defaultWindowBytes,
  errorCode,
  maxFrameBytes,
  maxWindowBytes,
  setting,
} from './frame.ts';

const settingBytes = 6;
const largestFrameBytes = 2 ** 24 - 1;

export class PeerSettings {
  /** SETTINGS_HEADER_TABLE_SIZE */
  tableBytes = 4_096;
  /** SETTINGS_INITIAL_WINDOW_SIZE */
  windowBytes = defaultWindowBytes;

  /** @throws Breach */
  take(payload: Buffer): void {
    if (payload.length % settingBytes !== 0) {
      throw new Breach(errorCode.frameSizeError, 'half a setting');
    }
    for (let at = 0; at < payload.length; at += settingBytes) {
      this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
  }

  #set(id: number, value: number): void {
    if (id === setting.headerTableSize) this.tableBytes = value;
    if (id === setting.enablePush) check(value <= 1, errorCode.protocolError);
    if (id === setting.initialWindowSize) {
      check(value <= maxWindowBytes, errorCode.flowControlError);
      this.windowBytes = value;
    }
    // kleidi never sends a frame that is longer than the least of them.
    if (id === setting.maxFrameSize) {
      check(value >= maxFrameBytes && value <= largestFrameBytes, errorCode.protocolError);
    }
  }
}

function check(holds: boolean, code: number): void {
  if (!holds) throw new Breach(code, 'a setting out of its range');
}
