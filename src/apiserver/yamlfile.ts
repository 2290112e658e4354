// YAML files that belong to somebody else: read strictly, and written with their
// comments, their order, their way to indent lists and the text of their scalars.
import { type Document, parseDocument as parse, type Tags } from 'yaml';
import { KleidiError } from '../errors.ts';

/** @throws KleidiError refused; without the text, which may hold a key */
export function parseDocument(text: string, path: string): Document {
  const document = parse(text, { logLevel: 'error', merge: true, customTags: keepingSource });
  const [error] = document.errors;
  if (error === undefined) return document as Document;
  const { line, col } = error.linePos?.[0] ?? { line: 0, col: 0 };
  throw new KleidiError('refused', `${path} is not YAML: line ${line}, column ${col}`, {
    hint: 'fix it by hand first; nothing was changed',
  });
}

/** As plain data, aliases among it. @throws KleidiError refused */
export function plainOf(document: Document, path: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new KleidiError('refused', `${path} has aliases that cannot be followed`, {
      hint: 'write out what they stand for; nothing was changed',
      cause,
    });
  }
}

/** @param original what it was read from: its style of lists is kept */
export function printDocument(document: Document, original: string): string {
  const indentSeq = !/^( *)[\w.-]+:[^\n]*\n\1- /m.test(original);
  return document.toString({
    lineWidth: 0,
    indentSeq,
    flowCollectionPadding: /\{ /.test(original),
  });
}

/**
 * Numbers as they were written: what the API server's YAML 1.1 reads as the octal 0644
 * must not become 644.
 */
function keepingSource(tags: Tags): Tags {
  return tags.map((tag) => {
    if (typeof tag === 'string' || !('test' in tag) || tag.test === undefined) return tag;
    const { stringify } = tag;
    if (stringify === undefined) return tag;
    return {
      ...tag,
      stringify: (...given: Parameters<typeof stringify>) => {
        const [{ type, source }] = given;
        return type === 'PLAIN' && source !== undefined ? source : stringify(...given);
      },
    };
  }) as Tags;
}
