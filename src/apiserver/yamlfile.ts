// YAML files that belong to somebody else: read strictly, and written with their
// comments, their order and their way to indent lists.
import { type Document, parseDocument as parse } from 'yaml';
import { KleidiError } from '../errors.ts';

/** @throws KleidiError refused; without the text, which may hold a key */
export function parseDocument(text: string, path: string): Document {
  const document = parse(text, { logLevel: 'error', keepSourceTokens: false });
  const [error] = document.errors;
  if (error === undefined) return document as Document;
  const { line, col } = error.linePos?.[0] ?? { line: 0, col: 0 };
  throw new KleidiError('refused', `${path} is not YAML: line ${line}, column ${col}`, {
    hint: 'mend it by hand first; nothing was changed',
  });
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
