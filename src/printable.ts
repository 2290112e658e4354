// Texts that others have made (a daemon's answer, a module's error, a file, a
// server), before they reach a terminal or the journal: control characters would
// steer the terminal, and those of text direction would show another text than
// there is (Unicode TR 36).

const controls = '\\p{Cc}\\u2028\\u2029\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069';
const inLine = new RegExp(`[${controls}]+`, 'gu');
const inText = new RegExp(`[^\\P{Cc}\\n\\t]|[${controls.replace('\\p{Cc}', '')}]`, 'gu');

/** Nothing begins a second line. */
export function oneLine(text: string): string {
  return text.replace(inLine, ' ');
}

/** Lines stay lines. What is taken out is shown by its number, as \x1b. */
export function printable(text: string): string {
  return text.replace(inText, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** The same JSON value: JSON.stringify leaves DEL, C1 and direction as they are. */
export function printableJson(json: string): string {
  return json.replace(
    inText,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
