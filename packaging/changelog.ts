// CHANGELOG.md as the two package formats want it. Its form: a heading
// `## VERSION (DATE or a remark)` for each release, and a list below.
import type { Release } from './release.ts';

interface Section {
  readonly version: string;
  readonly seconds: number;
  readonly changes: readonly string[];
}

/** The newest section is the one being built, whatever version its heading has. */
function sectionsOf(markdown: string, release: Release): Section[] {
  const parts = markdown.split(/^## /m).slice(1);
  return parts.map((part, index) => {
    const [heading = '', ...body] = part.split('\n');
    const [, version = '', date] = /^(\S+)(?: \((\d{4}-\d{2}-\d{2})\))?/.exec(heading) ?? [];
    const newest = index === 0;
    return {
      version: newest ? release.packageVersion : version,
      seconds: newest || date === undefined ? release.epochSeconds : Date.parse(`${date}Z`) / 1000,
      changes: changesIn(body),
    };
  });
}

/** One text for each item of the list. */
function changesIn(lines: readonly string[]): string[] {
  const items = `\n${lines.join('\n')}`.replaceAll('`', '').split('\n- ').slice(1);
  return items.map((item) => item.split(/\s+/).join(' ').trim());
}

/** Both formats want lines below 80 characters. */
function wrap(text: string, first: string, next: string): string {
  const lines = [first.trimEnd()];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line.length + word.length < 78) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`${next}${word}`);
  }
  return lines.join('\n');
}

export function debianChangelog(markdown: string, release: Release): string {
  return sectionsOf(markdown, release)
    .map(({ version, seconds, changes }) => {
      const entries = changes.map((change) => wrap(change, '  * ', '    '));
      const date = new Date(seconds * 1000).toUTCString().replace('GMT', '+0000');
      return `kleidi (${version}) stable; urgency=medium\n\n${entries.join('\n')}\n\n -- ${release.maintainer}  ${date}\n`;
    })
    .join('\n');
}

export function rpmChangelog(markdown: string, release: Release): string {
  return sectionsOf(markdown, release)
    .map(({ version, seconds, changes }) => {
      const [day = '', date = '', month = '', year = ''] = new Date(seconds * 1000)
        .toUTCString()
        .replace(',', '')
        .split(' ');
      // A percent sign would start a macro.
      const entries = changes.map((change) => wrap(change.replaceAll('%', '%%'), '- ', '  '));
      return `* ${day} ${month} ${date} ${year} ${release.maintainer} - ${version}-1\n${entries.join('\n')}\n`;
    })
    .join('\n');
}
