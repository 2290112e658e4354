// Protobuf as far as etcd and kube-apiserver use it in what they store: fields
// by number, the last of a number counts. Strict about lengths.

interface Fields {
  /** Empty where the field is absent, as in proto3. */
  bytes(field: number): Buffer;
  /** Zero where the field is absent. Exact up to 2^53. */
  number(field: number): number;
}

const none = Buffer.alloc(0);
const maxVarintBytes = 10;

/** Undefined where the bytes are no whole message. */
export function readFields(message: Buffer): Fields | undefined {
  const texts = new Map<number, Buffer>();
  const numbers = new Map<number, number>();
  for (let at = 0; at < message.length; ) {
    const tag = readVarint(message, at);
    const head = tag && readVarint(message, tag.next);
    if (tag === undefined || head === undefined) return undefined;
    const field = Math.floor(tag.value / 8);
    if (tag.value % 8 === 0) {
      numbers.set(field, head.value);
      at = head.next;
    } else if (tag.value % 8 === 2 && head.value <= message.length - head.next) {
      at = head.next + head.value;
      texts.set(field, message.subarray(head.next, at));
    } else {
      return undefined;
    }
  }
  return {
    bytes: (field) => texts.get(field) ?? none,
    number: (field) => numbers.get(field) ?? 0,
  };
}

function readVarint(message: Buffer, start: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let i = 0; i < maxVarintBytes; i += 1) {
    const byte = message[start + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, next: start + i + 1 };
  }
  return undefined;
}
