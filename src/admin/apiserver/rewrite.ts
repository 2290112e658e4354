// Writes every object anew that kleidi seals, through the API server of this host.

import type { ApiserverClient } from '../../apiserver/live/client.ts';
import { resourcesNamed, type StoredResource } from '../../apiserver/live/discovery.ts';
import { type Listed, listObjects } from '../../apiserver/live/listing.ts';
import { type Rewriting, rewriteObject } from '../../apiserver/live/rewriting.ts';
import { configurationOf } from '../../apiserver/plan.ts';
import { usage } from '../../errors.ts';
import { warn } from '../../terminal.ts';
import type { ApiserverHost } from './host.ts';
import { RewriteProgress } from './rewriteprogress.ts';

/** An API server has 400 and more calls at a time by default (--max-requests-inflight). */
const atATime = 16;
/** Of what is refused; a policy may refuse all. */
const maxNamed = 20;

/** How many of each kind, and how often there was a conflict. */
export interface Rewritten {
  readonly objects: number;
  readonly rewritten: number;
  readonly unchanged: number;
  readonly gone: number;
  readonly conflicts: number;
  readonly refused: number;
  /** The first of them. */
  readonly refusals: readonly { readonly object: string; readonly reason: string }[];
  readonly durationMs: number;
}

/**
 * What of the EncryptionConfiguration is to be rewritten.
 * @param wanted of those; all where none is named. @throws KleidiError usage
 */
export function resourceNames(host: ApiserverHost, wanted: readonly string[]): readonly string[] {
  const sealed = configurationOf(host)?.resources ?? [];
  const isSealed = (name: string): boolean =>
    sealed.includes(name) || sealed.includes(`*.${name.split('.').slice(1).join('.')}`);
  const other = wanted.find((name) => !isSealed(name));
  if (other === undefined) return wanted.length === 0 ? sealed : wanted;
  throw usage(`'${other}' is not sealed by kleidi: ${sealed.join(', ')}`);
}

/**
 * Safe to repeat, and after a kill: what is rewritten already costs a request, and no write.
 * @throws KleidiError apiserver-unreachable
 */
export async function rewriteAll(
  client: ApiserverClient,
  names: readonly string[],
): Promise<Rewritten> {
  const run = new RewriteRun(client);
  for (const name of names) {
    const resources = await resourcesNamed(client, name);
    if (resources.length === 0) warn(`the cluster has no ${name}: nothing of it is rewritten`);
    for (const resource of resources) await run.resource(resource);
  }
  return run.end();
}

class RewriteRun {
  readonly #client: ApiserverClient;
  readonly #progress = new RewriteProgress();
  readonly #startMs = performance.now();
  readonly #counts = { rewritten: 0, unchanged: 0, gone: 0, refused: 0 };
  readonly #refusals: { object: string; reason: string }[] = [];
  #conflicts = 0;

  constructor(client: ApiserverClient) {
    this.#client = client;
  }

  async resource(resource: StoredResource): Promise<void> {
    const objects = listObjects(this.#client, resource);
    const before = this.#objects;
    const work = async (): Promise<void> => {
      // Not for-await: the first of many that ends it would end it for all.
      for (let next = await objects.next(); !next.done; next = await objects.next()) {
        const found = await rewriteObject(this.#client, next.value.path);
        this.#count(found, resource, next.value);
        this.#progress.show(resource.name, this.#objects - before, next.value.left);
      }
    };
    await Promise.all(Array.from({ length: atATime }, work));
  }

  end(): Rewritten {
    this.#progress.end();
    return {
      objects: this.#objects,
      ...this.#counts,
      conflicts: this.#conflicts,
      refusals: this.#refusals,
      durationMs: Math.round(performance.now() - this.#startMs),
    };
  }

  get #objects(): number {
    return Object.values(this.#counts).reduce((sum, each) => sum + each, 0);
  }

  #count({ kind, reason, conflicts }: Rewriting, resource: StoredResource, { name }: Listed): void {
    this.#counts[kind] += 1;
    this.#conflicts += conflicts;
    if (kind === 'refused' && this.#refusals.length < maxNamed)
      this.#refusals.push({ object: `${resource.name} ${name}`, reason });
  }
}
