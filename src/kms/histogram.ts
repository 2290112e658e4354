// How often something took how long: a count for each bound, made for the way of a call.
// An observation is a walk over a few numbers and two additions.

/** Of a call: from 50 µs, a token in memory, to 3 s, when kube-apiserver gives up. */
export const callBoundsSeconds: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2,
  3,
];

export class Histogram {
  readonly boundsSeconds: readonly number[];
  /** Of each bound, those above the bound before it; one more place for what is above all. */
  readonly #counts: number[];
  #sumSeconds = 0;

  /** @param boundsSeconds in rising order */
  constructor(boundsSeconds: readonly number[]) {
    this.boundsSeconds = boundsSeconds;
    this.#counts = [...boundsSeconds, Number.POSITIVE_INFINITY].map(() => 0);
  }

  observe(seconds: number): void {
    let at = 0;
    while (seconds > (this.boundsSeconds[at] ?? Number.POSITIVE_INFINITY)) at += 1;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sumSeconds += seconds;
  }

  get sumSeconds(): number {
    return this.#sumSeconds;
  }

  /** How many took so long or less, for each bound; the last is all. */
  cumulative(): readonly number[] {
    let sum = 0;
    return this.#counts.map((count) => {
      sum += count;
      return sum;
    });
  }
}
