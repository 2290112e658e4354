// The oldest hosts that the packages run on: RHEL 9, Debian 12, Ubuntu 22.04. A
// program asks for symbol versions of the C and C++ libraries; none may be newer.
import { closeSync, openSync, readSync } from 'node:fs';
import { runTool } from './tool.ts';
import type { Tree } from './tree.ts';

const newest: Readonly<Record<string, string>> = {
  GLIBC: '2.34',
  GLIBCXX: '3.4.29',
  CXXABI: '1.3.13',
};

/** @throws Error naming each file and symbol that is too new */
export function checkSymbolVersions(tree: Tree): void {
  const faults = tree
    .entries()
    .filter(({ path }) => isElf(tree.at(path)))
    .flatMap(({ path }) =>
      tooNew(runTool('objdump', ['-T', tree.at(path)])).map((what) => `${path} needs ${what}`),
    );
  if (faults.length > 0) {
    throw new Error(
      `too new for the oldest hosts:\n  ${faults.join('\n  ')}\nbuild on Debian 12 or RHEL 9`,
    );
  }
}

/** @returns the symbol versions beyond the limits, such as GLIBC_2.38 */
export function tooNew(dynamicSymbols: string): string[] {
  const wanted = new Set(dynamicSymbols.match(/\b(?:GLIBC|GLIBCXX|CXXABI)_[0-9][0-9.]*/g));
  return [...wanted].filter((symbol) => {
    const [library = '', version = ''] = symbol.split('_');
    return compareVersions(version, newest[library] ?? '0') > 0;
  });
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number)) as [number[], number[]];
  const at = left.findIndex((part, index) => part !== (right[index] ?? 0));
  return at === -1 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
}

export function isElf(path: string): boolean {
  const file = openSync(path, 'r');
  const head = Buffer.alloc(4);
  readSync(file, head);
  closeSync(file);
  return head.toString('latin1') === '\x7fELF';
}
