// Header blocks that kleidi sends. The few fields that come with each answer are put in the table
// of the client once and named by their index from then on; all others are sent as they are,
// so the table never fills.
// Source: RFC 7541, 6.
import { type Field, staticTable } from './statictable.ts';

/** What a table must hold for the repeated fields of all answers, with room to spare. */
const neededBytes = 1_024;

const indexed = 0x80;
const keptLiteral = 0x40;
const emptyTable = 0x20;

export class HpackEncoder {
  readonly #repeated: ReadonlySet<Field>;
  /** In the order in which they came into the table. */
  readonly #kept: Field[] = [];
  #keeps = true;
  #isResizeDue = false;

  /** @param repeated no more than ten, each with fewer than 127 octets a string */
  constructor(repeated: readonly Field[]) {
    this.#repeated = new Set(repeated);
  }

  /** The client's SETTINGS_HEADER_TABLE_SIZE. */
  limitTable(bytes: number): void {
    if (bytes >= neededBytes || !this.#keeps) return;
    this.#keeps = false;
    this.#kept.length = 0;
    this.#isResizeDue = true;
  }

  /** @returns octets of the block */
  encode(fields: readonly Field[]): number[] {
    const octets: number[] = [];
    if (this.#isResizeDue) octets.push(emptyTable);
    this.#isResizeDue = false;
    for (const field of fields) this.#add(octets, field);
    return octets;
  }

  #add(octets: number[], field: Field): void {
    const known = this.#indexOf(field);
    if (known !== undefined) {
      octets.push(indexed | known);
      return;
    }
    const keep = this.#keeps && this.#repeated.has(field);
    if (keep) this.#kept.push(field);
    octets.push(keep ? keptLiteral : 0);
    addString(octets, field.name);
    addString(octets, field.value);
  }

  #indexOf(field: Field): number | undefined {
    const place = this.#kept.indexOf(field);
    if (place >= 0) return staticTable.length + this.#kept.length - place;
    const at = staticTable.findIndex(
      ({ name, value }) => name === field.name && value === field.value,
    );
    return at < 0 ? undefined : at + 1;
  }
}

/** Octets of latin1, without Huffman's code. */
function addString(octets: number[], text: string): void {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.length < 127) octets.push(bytes.length);
  else {
    octets.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest >>>= 7) octets.push((rest & 127) | 128);
    octets.push(rest);
  }
  octets.push(...bytes);
}
