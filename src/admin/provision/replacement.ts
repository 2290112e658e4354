// What `kleidi provision --replace` may take the place of, and what the record of the host
// keeps of it. The three cases prove different things, and none proves another.

export const replaceCases = ['never-sealed', 'lost-token', 'copied-disk'] as const;

export type ReplaceCase = (typeof replaceCases)[number];

/** In provision.json, from before the first file is moved on. */
export interface Replacement {
  readonly case: ReplaceCase;
  /** Where everything of before is, once `moved`. */
  readonly folder: string;
  /** Sentences: what was proved of this host before anything was changed. */
  readonly proved: readonly string[];
  /** Fingerprints of the KEKs that the operator gave up by name. */
  readonly forgotten: readonly string[];
  /** Of the record that was here before, for the folder; null where there was none. */
  readonly before: object | null;
  readonly moved: boolean;
}

export function isReplaceCase(text: string): text is ReplaceCase {
  return replaceCases.some((each) => each === text);
}
