// Strings of HPACK that are coded by Huffman's code, read back.
// Source: RFC 7541, 5.2 and Appendix B. The code is canonical (sorted by length, then by
// symbol), so the lengths alone give it.

/** Of the codes of the 256 octets, 5 to 30 bits, a digit each in base 32. */
const lengths =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6' +
  'f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq';
const longestBits = 30;
const digitBase = 32;

interface Level {
  /** Of the first code of this length. */
  readonly first: number;
  readonly symbols: readonly number[];
}

const levels: readonly Level[] = levelsOf(
  [...lengths].map((digit) => Number.parseInt(digit, digitBase)),
);

function levelsOf(bitsOf: readonly number[]): readonly Level[] {
  const all: Level[] = [];
  let code = 0;
  for (let bits = 0; bits <= longestBits; bits += 1) {
    const symbols = [...bitsOf.keys()].filter((symbol) => bitsOf[symbol] === bits);
    all.push({ first: code, symbols });
    code = (code + symbols.length) * 2;
  }
  return all;
}

/**
 * @returns the string as octets in latin1; nothing where it is no Huffman code: an octet that has
 *   none, or padding that is longer than 7 bits or holds a zero
 */
export function huffmanDecoded(bytes: Buffer): string | undefined {
  let text = '';
  let code = 0;
  let bits = 0;
  for (const byte of bytes) {
    for (let at = 7; at >= 0; at -= 1) {
      code = code * 2 + ((byte >> at) & 1);
      bits += 1;
      const level = levels[bits];
      if (level === undefined) return undefined;
      const symbol = level.symbols[code - level.first];
      if (symbol === undefined) continue;
      text += String.fromCharCode(symbol);
      code = 0;
      bits = 0;
    }
  }
  const isPadding = bits < 8 && code === 2 ** bits - 1;
  return isPadding ? text : undefined;
}
