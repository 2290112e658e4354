// Every library that a program or a library of the image asks for is in the image.
import { basename } from 'node:path';
import { isElf } from '../glibc.ts';
import { runTool } from '../tool.ts';
import type { ImageEntry } from './tar.ts';

/** @throws Error naming each file and the library that it lacks */
export function checkLibraries(entries: readonly ImageEntry[]): void {
  const names = new Set(entries.map(({ path }) => basename(path)));
  const missing = entries.flatMap((entry) => {
    if (entry.kind !== 'file' || Buffer.isBuffer(entry.contents)) return [];
    const { file } = entry.contents;
    return neededBy(file)
      .filter((name) => !names.has(name))
      .map((name) => `${entry.path} needs ${name}`);
  });
  if (missing.length > 0) throw new Error(`not in the image:\n  ${missing.join('\n  ')}`);
}

function neededBy(file: string): readonly string[] {
  if (!isElf(file)) return [];
  const found = runTool('objdump', ['-p', file]).matchAll(/^\s*NEEDED\s+(\S+)$/gm);
  return [...found].map(([, name = '']) => name);
}
