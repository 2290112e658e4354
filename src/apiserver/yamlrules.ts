// What an edit of somebody else's YAML may touch. Aliases and anchors are refused where
// an edit would reach through them, and everything that was not to be touched is compared
// with what it was, in the text that is about to be written.
import { isDeepStrictEqual } from 'node:util';
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type YAMLMap,
} from 'yaml';
import { KleidiError } from '../errors.ts';
import { parseDocument, printDocument } from './yamlfile.ts';

export interface Touched {
  /** Of a list, or of a map of flags. */
  readonly at: readonly (string | number)[];
  /** Items (of a map: keys) that the edit may add or take out. */
  isOurs(item: unknown): boolean;
}

/** The parts of a document that an edit reaches, from the outermost on. @throws KleidiError refused */
export function requireNoAliases(document: Document, at: Touched['at'], path: string): void {
  for (let depth = 0; depth <= at.length; depth += 1) {
    const node: unknown = document.getIn(at.slice(0, depth), true);
    const name = at.slice(0, depth).join('.');
    if (isAlias(node)) throw aliased(path, `${name} is an alias`);
    if (isCollection(node) && node.anchor !== undefined)
      throw aliased(path, `${name} has an anchor`);
    if (isMap(node) && hasMerge(node))
      throw aliased(path, `${name} takes fields from elsewhere (<<)`);
    if (depth === at.length) requirePlainItems(node, name, path);
  }
}

/** Items of the list too: what they are decides about the edit. @throws KleidiError refused */
function requirePlainItems(node: unknown, name: string, path: string): void {
  if (!isSeq(node)) return;
  const isPlain = node.items.every((item) => !isAlias(item) && !(isMap(item) && hasMerge(item)));
  if (!isPlain) throw aliased(path, `${name} has an item by an alias or a merge (<<)`);
}

/** Every part that an edit reaches. @throws KleidiError refused */
export function requireEditable(
  document: Document,
  touched: readonly Touched[],
  path: string,
): readonly Touched[] {
  for (const { at } of touched) requireNoAliases(document, at, path);
  return touched;
}

/** A document after its edit. @throws KleidiError refused where more than `touched` differs */
export function printEdited(
  document: Document,
  original: string,
  path: string,
  touched: readonly Touched[],
): string {
  const after = printDocument(document, original);
  requireRestUntouched(original, after, path, touched);
  return after;
}

/** @throws KleidiError refused where anything else than `touched` differs in the new text */
export function requireRestUntouched(
  before: string,
  after: string,
  path: string,
  touched: readonly Touched[],
): void {
  const [old, now] = [before, after].map((text) => restOf(parseDocument(text, path), touched));
  if (isDeepStrictEqual(old, now)) return;
  throw new KleidiError('refused', `${path} cannot be edited without changing other parts of it`, {
    hint: 'it is written in a way that kleidi does not know: make the change by hand; nothing was changed',
  });
}

/** Everything but our items; what holds nothing then is as good as missing. */
function restOf(document: Document, touched: readonly Touched[]): unknown {
  for (const { at, isOurs } of touched) {
    const node: unknown = document.getIn(at, true);
    if (isScalar(node) && node.value === null) document.deleteIn(at);
    if (!isSeq(node) && !isMap(node)) continue;
    const rest = node.items.filter((item) => !isOurs(isPair(item) ? item.key : item));
    node.items = rest as typeof node.items;
    for (let depth = at.length; depth > 0; depth -= 1) {
      const part: unknown = document.getIn(at.slice(0, depth), true);
      if (!isCollection(part) || part.items.length > 0) break;
      document.deleteIn(at.slice(0, depth));
    }
  }
  return described(document.contents);
}

/** Text and kind of every scalar: "true" and true are two things, and so are 0644 and 644. */
function described(node: unknown): unknown {
  if (isAlias(node)) return { alias: node.source };
  if (isScalar(node)) {
    const { type, tag, source, anchor } = node;
    return { text: source, isPlain: type === 'PLAIN', tag, anchor };
  }
  if (isSeq(node)) return { list: node.items.map(described), anchor: node.anchor, tag: node.tag };
  if (!isMap(node)) return null;
  const fields = node.items.map(({ key, value }) => [described(key), described(value)]);
  return { fields, anchor: node.anchor, tag: node.tag };
}

function hasMerge(map: YAMLMap): boolean {
  return map.items.some(({ key }) => isScalar(key) && key.source === '<<');
}

function aliased(path: string, what: string): KleidiError {
  return new KleidiError('refused', `${path} cannot be edited: ${what}`, {
    hint: 'write out there what it stands for, then run the command again; nothing was changed',
  });
}
