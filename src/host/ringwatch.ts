// Notices a change of the ring file within a second, also where the file or its
// folder comes and goes: two stat calls a second instead of inotify, which
// loses a folder that is replaced.
import { statSync } from 'node:fs';

const everyMs = 500;

export function watchRing(path: string, changed: () => void): { close(): void } {
  let last = signature(path);
  const timer = setInterval(() => {
    const now = signature(path);
    if (now === last) return;
    last = now;
    changed();
  }, everyMs);
  return { close: () => clearInterval(timer) };
}

function signature(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 'none' : `${found.ino} ${found.mtimeMs} ${found.size}`;
}
