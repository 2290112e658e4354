// Plain text as man(7).

const maxColumns = 78;

/** A paragraph, its lines broken anew. */
export function filled(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    const longer = `${lines.at(-1) ?? ''} ${word}`.trim();
    if (lines.length > 0 && roff(longer).length <= maxColumns) lines.splice(-1, 1, longer);
    else lines.push(word);
  }
  return roff(lines.join('\n'));
}

/** Backslashes and hyphens as they are typed, no line taken for a request. */
export function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
    .replaceAll('…', '...');
}
