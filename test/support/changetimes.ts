// Lets time pass for a host under test: what it has recorded is moved into the past.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A minute more than API servers may take to follow a change. */
const backMs = 240_000;

/** Of each change of a KEK and of the phase that was recorded until now. */
export function letTimePass(ringPath: string): void {
  const folder = dirname(ringPath);
  for (const path of [join(folder, 'changes.json'), join(folder, 'apiserver/phase.json')]) {
    if (!existsSync(path)) continue;
    const text = readFileSync(path, 'utf8').replace(/\d{4}-\d\d-\d\dT[^"]+Z/g, (time) =>
      new Date(Date.parse(time) - backMs).toISOString(),
    );
    writeFileSync(path, text);
  }
}
