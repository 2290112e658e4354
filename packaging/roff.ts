// Plain text as man(7). What a help text looks like is the house style of
// src/cli: blocks between empty lines; items as `NAME   what it is`, its next
// lines further in; the rest are paragraphs.

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

interface Item {
  readonly name: string;
  readonly text: string;
}

/** A block of help text, between two empty lines. */
export function block(text: string): string {
  const example = /^example: ([\s\S]+)$/.exec(text)?.[1];
  if (example !== undefined) return `.PP\nExample:\n.PP\n.nf\n${roff(example)}\n.fi`;
  const items = itemsOf(text);
  if (items !== undefined) return items.map(itemText).join('\n');
  return `.PP\n${filled(text)}`;
}

function itemText({ name, text }: Item): string {
  return `.TP\n.B ${roff(name)}\n${filled(text)}`;
}

/** Undefined where the block is not a list. */
function itemsOf(text: string): Item[] | undefined {
  const items: Item[] = [];
  for (const line of text.split('\n')) {
    const [, name, what] = /^ {0,2}(\S(?:\S| (?! ))*) {2,}(\S.*)$/.exec(line) ?? [];
    const last = items.at(-1);
    if (name !== undefined && what !== undefined) items.push({ name, text: what });
    else if (last !== undefined && /^ {3,}\S/.test(line)) {
      items.splice(-1, 1, { ...last, text: `${last.text}\n${line.trim()}` });
    } else return undefined;
  }
  return items;
}
