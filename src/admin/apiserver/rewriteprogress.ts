// How far a rewrite is: a bar for a person, a line a minute elsewhere.
import { note, status } from '../../terminal.ts';

const barMs = 200;
const lineMs = 60_000;
const barCells = 30;

export class RewriteProgress {
  readonly #isWatched = process.stderr.isTTY === true;
  #nextMs = performance.now() + (this.#isWatched ? 0 : lineMs);

  /** @param left objects of this resource that come after these, as far as is known */
  show(resource: string, done: number, left: number): void {
    const nowMs = performance.now();
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + (this.#isWatched ? barMs : lineMs);
    const of = `${resource}: ${done} of ${done + left}`;
    if (this.#isWatched) status(`${bar(done, left)} ${of}`);
    else note(of);
  }

  end(): void {
    status('');
  }
}

function bar(done: number, left: number): string {
  const full = Math.round((barCells * done) / Math.max(done + left, 1));
  return `[${'#'.repeat(full)}${' '.repeat(barCells - full)}]`;
}
