// Header blocks of HPACK, read field by field. What a field refers to is kept once, so a block of
// many references costs its own bytes alone.
// Source: RFC 7541, 2.3, 4 and 6.
import { Breach, errorCode } from './frame.ts';
import { huffmanDecoded } from './huffman.ts';
import { type Field, staticTable } from './statictable.ts';

/** SETTINGS_HEADER_TABLE_SIZE is not announced, so this holds (RFC 9113, 6.5.2). */
const tableBytes = 4_096;
/** What each entry counts for beside its octets (RFC 7541, 4.1). */
const entryBytes = 32;
/** Integers beyond are no length of anything that is taken here. */
const maxIntegerShift = 21;

export class HpackDecoder {
  /** The newest last. */
  #entries: Field[] = [];
  #bytes = 0;
  #maxBytes = tableBytes;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /** @throws Breach the tables of both ends would differ from now on */
  decode(block: Buffer, take: (field: Field) => void): void {
    this.#block = block;
    this.#at = 0;
    while (this.#isResize()) this.#resize(this.#integer(5));
    while (this.#at < block.length) take(this.#field());
  }

  /** Comes before all fields, if at all. */
  #isResize(): boolean {
    return ((this.#block[this.#at] ?? 0) & 0xe0) === 0x20;
  }

  #field(): Field {
    const first = this.#block[this.#at] ?? 0;
    if (first >= 0x80) return this.#entry(this.#integer(7));
    if (first >= 0x40) return this.#keep(this.#literal(6));
    if (first >= 0x20) throw broken('a size of the table amid fields');
    return this.#literal(4);
  }

  #literal(prefixBits: number): Field {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#entry(index).name;
    return { name, value: this.#string() };
  }

  #entry(index: number): Field {
    const isStatic = index <= staticTable.length;
    const entry = isStatic
      ? staticTable[index - 1]
      : this.#entries[this.#entries.length - (index - staticTable.length)];
    if (entry === undefined) throw broken(`no entry ${index}`);
    return entry;
  }

  #keep(field: Field): Field {
    this.#entries.push(field);
    this.#bytes += sizeOf(field);
    this.#evict();
    return field;
  }

  #resize(bytes: number): void {
    if (bytes > tableBytes) throw broken('a larger table than was offered');
    this.#maxBytes = bytes;
    this.#evict();
  }

  #evict(): void {
    let gone = 0;
    while (this.#bytes > this.#maxBytes) {
      const oldest = this.#entries[gone];
      if (oldest === undefined) break;
      this.#bytes -= sizeOf(oldest);
      gone += 1;
    }
    if (gone > 0) this.#entries = this.#entries.slice(gone);
  }

  /** RFC 7541, 5.1 */
  #integer(prefixBits: number): number {
    const mask = 2 ** prefixBits - 1;
    let value = this.#octet() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= maxIntegerShift; shift += 7) {
      const octet = this.#octet();
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    throw broken('an integer that is too large');
  }

  #octet(): number {
    const octet = this.#block[this.#at];
    if (octet === undefined) throw broken('a block that ends too early');
    this.#at += 1;
    return octet;
  }

  #string(): string {
    const isHuffman = (this.#block[this.#at] ?? 0) >= 0x80;
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw broken('a string that ends too late');
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    const text = isHuffman ? huffmanDecoded(bytes) : bytes.toString('latin1');
    if (text === undefined) throw broken('a string in no Huffman code');
    return text;
  }
}

function sizeOf({ name, value }: Field): number {
  return name.length + value.length + entryBytes;
}

function broken(what: string): Breach {
  return new Breach(errorCode.compressionError, `HPACK: ${what}`);
}
