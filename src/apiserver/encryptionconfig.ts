// The EncryptionConfiguration that kube-apiserver reads: where kleidi stands in
// it, and the same file with kleidi in another place. Comments and order of what
// is not ours are kept.
import { isDeepStrictEqual } from 'node:util';
import { type Document, isMap, isScalar, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import { KleidiError } from '../errors.ts';
import { requireValid } from './encryptionrules.ts';
import type { Paths } from './flags.ts';
import { isOurs, kmsProvider, requireOneKleidi } from './kmsprovider.ts';
import type { Phase } from './phase.ts';
import { parseDocument, plainOf } from './yamlfile.ts';
import { printEdited, requireNoAliases } from './yamlrules.ts';

export class EncryptionConfiguration {
  readonly #text: string;
  readonly #paths: Paths;
  readonly #document: Document;
  readonly #entries: readonly Entry[];
  /** Where the providers of the entry are that covers Secrets. */
  readonly #at: readonly (string | number)[];

  /** @throws KleidiError refused where kube-apiserver would not take it, or kleidi cannot edit it */
  constructor(text: string, paths: Paths) {
    const document = parseDocument(text, paths.config);
    const plain = plainOf(document, paths.config);
    requireValid(plain, paths.config);
    const { resources } = plain as { resources: Entry[] };
    this.#text = text;
    this.#paths = paths;
    this.#document = document;
    this.#entries = resources;
    this.#at = findSecretsProviders(document, resources, paths.config);
    requireOneKleidi(plain, paths.socket);
  }

  /** Undefined where kleidi is not in it. */
  get phase(): Phase | undefined {
    const { items } = this.#providers(this.#document);
    const at = items.findIndex((item) => this.#isOurs(item));
    if (at === -1) return undefined;
    if (at > 0) return 'read';
    return items.some(isIdentity) ? 'write' : 'only';
  }

  /** What kleidi seals, or would: the resources of the entry that covers Secrets. */
  get resources(): readonly string[] {
    return this.#entries.find(({ resources }) => resources.includes('secrets'))?.resources ?? [];
  }

  /** Whether somebody else's keys are in it, so that it must stay in use. */
  get hasOtherKeys(): boolean {
    const { items } = this.#providers(this.#document);
    return items.some((item) => !isIdentity(item) && !this.#isOurs(item));
  }

  /** Whether each key of `others` is in it, so that what it has sealed can be read. */
  carries(others: readonly object[]): boolean {
    const mine = this.#entries.flatMap(({ providers }) => providers);
    return others.every(
      (other) => 'identity' in other || mine.some((each) => isDeepStrictEqual(each, other)),
    );
  }

  /** The file at that phase, the same one where it is there. @throws KleidiError refused */
  withPhase(phase: Phase): string {
    if (this.phase === phase) return this.#checked(this.#text);
    return this.#edited((providers, document) => {
      const ours = this.#takeOut(providers) ?? document.createNode(kmsProvider(this.#paths.socket));
      const hasIdentity = providers.items.some(isIdentity);
      if (phase === 'only') providers.items = providers.items.filter((item) => !isIdentity(item));
      else if (providers.items.length === 0 || (phase === 'write' && !hasIdentity))
        providers.items.push(document.createNode({ identity: {} }));
      if (phase === 'read') providers.items.push(ours);
      else providers.items.unshift(ours);
    });
  }

  /** The file without kleidi. @throws KleidiError refused */
  withoutKleidi(): string {
    return this.#edited((providers, document) => {
      this.#takeOut(providers);
      if (providers.items.length === 0) providers.items = [document.createNode({ identity: {} })];
    });
  }

  #edited(edit: (providers: YAMLSeq, document: Document) => void): string {
    const document = this.#document.clone();
    edit(this.#providers(document), document);
    const isTouched = (item: unknown): boolean => isIdentity(item) || this.#isOurs(item);
    const touched = [{ at: this.#at, isOurs: isTouched }];
    return this.#checked(printEdited(document, this.#text, this.#paths.config, touched));
  }

  /** Read again as text, where aliases are refused. */
  #checked(text: string): string {
    requireValid(text, this.#paths.config);
    return text;
  }

  #providers(document: Document): YAMLSeq {
    return document.getIn(this.#at, true) as YAMLSeq;
  }

  #takeOut(providers: YAMLSeq): unknown {
    const at = providers.items.findIndex((item) => this.#isOurs(item));
    return at === -1 ? undefined : providers.items.splice(at, 1)[0];
  }

  #isOurs(item: unknown): boolean {
    return isOurs(item, this.#paths.socket);
  }
}

function isIdentity(item: unknown): boolean {
  return isMap(item) && item.has('identity');
}

interface Entry {
  readonly resources: readonly string[];
  readonly providers: readonly object[];
}

/**
 * @param entries the same, as plain data
 * @returns where its providers are
 * @throws KleidiError refused
 */
function findSecretsProviders(
  document: Document,
  entries: readonly Entry[],
  path: string,
): readonly (string | number)[] {
  requireExactSecrets(entries, path);
  const resources: unknown = document.getIn(['resources'], true);
  const index = isSeq(resources)
    ? resources.items.findIndex((item) => isMap(item) && coversSecrets(item))
    : -1;
  const at = ['resources', index, 'providers'];
  if (index >= 0) requireNoAliases(document, at, path);
  if (index >= 0 && isSeq(document.getIn(at, true))) return at;
  throw new KleidiError('refused', `${path} has no entry for the resource secrets`, {
    hint: 'add one ({resources: [secrets], providers: [identity: {}]}), then run the command again',
  });
}

function coversSecrets(entry: YAMLMap): boolean {
  const names = entry.get('resources');
  if (!isSeq(names)) return false;
  return names.items.some((name) => isScalar(name) && name.value === 'secrets');
}

/** Under a wildcard kleidi would seal what an API server needs to start, RBAC among it. */
function requireExactSecrets(entries: readonly Entry[], path: string): void {
  const names = entries.flatMap(({ resources }) => resources);
  if (names.includes('secrets') || !names.some((name) => /^\*\.\*?$/.test(name))) return;
  throw new KleidiError('refused', `${path} covers secrets by a wildcard only`, {
    hint: 'put an entry for secrets with the same providers before it, then run the command again',
  });
}
