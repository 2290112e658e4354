// kleidi.yaml: every field with its meaning, default and rule. One frozen
// Config, or one error that names every bad field at once.
import { readFileSync } from 'node:fs';
import convict from 'convict';
import { type Document, parseDocument, type YAMLError } from 'yaml';
import { KleidiError, reasonOf } from './errors.ts';
import { isErrno } from './files.ts';
import type { LogFormat, LogLevel } from './log.ts';
import { type Field, isField, removedFields, schema } from './schema.ts';

export const defaultConfigPath = '/etc/kleidi/kleidi.yaml';

export interface Config {
  readonly ring: string;
  readonly socket: string;
  readonly grpc: 'fast' | 'library';
  readonly runtimeDir: string;
  readonly encryptionConfig: string;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  readonly pkcs11: {
    readonly module: string;
    readonly token: string;
    readonly pin: string;
    readonly soPin: string;
    readonly pinBinding: 'auto' | 'host' | 'tpm2' | 'host+tpm2';
    readonly pinPcrs: readonly number[];
    readonly softhsmConf: string;
    /** Names of variables that a child for token work gets. */
    readonly environment: readonly string[];
  };
  readonly vault: VaultConfig;
  readonly tpm: TpmConfig;
  readonly selfTest: { readonly intervalMs: number };
  readonly verifier: { readonly intervalMs: number };
  readonly limits: {
    readonly queue: number;
    readonly connections: number;
    readonly callTimeoutMs: number;
    readonly openTimeoutMs: number;
  };
}

interface TpmConfig {
  readonly module: string;
  readonly token: string;
  readonly store: string;
  readonly tcti: string;
  readonly pin: string;
}

export interface VaultConfig {
  /** Empty: Vault is not used. */
  readonly address: readonly string[];
  readonly namespace: string;
  readonly mount: string;
  readonly key: string;
  readonly caFile: string;
  readonly auth: {
    readonly method: 'approle' | 'cert' | 'jwt' | 'token';
    readonly mount: string;
    readonly role: string;
    readonly roleId: string;
    readonly secretId: string;
    readonly certFile: string;
    readonly key: string;
    readonly jwtFile: string;
    readonly token: string;
  };
}

/** @throws KleidiError config-invalid, with every fault and the file's path */
export function loadConfig(path: string): Config {
  const values = parseYaml(readText(path), path);
  const faults = faultsIn(values, schema, '');
  if (faults.length > 0) throw invalid(path, faults);
  // convict would read the environment and the command line by itself.
  const config = convict(schema, { env: {}, args: [] });
  config.load(values).validate({ allowed: 'strict' });
  return deepFreeze(config.getProperties()) as Config;
}

/**
 * Found before convict sees the values: it would read "12abc" as 12, drop
 * __proto__, take "log.level" for a field, and quote what stands in pkcs11.pin.
 */
function faultsIn(values: object, known: object, prefix: string): string[] {
  const nodes = new Map<string, object>(Object.entries(known));
  return Object.entries(values).flatMap(([name, value]: [string, unknown]) => {
    const at = prefix + name;
    const node = nodes.get(name);
    if (node === undefined) return [`${at}: ${removedFields.get(at) ?? 'unknown field'}`];
    if (isField(node)) return faultsOf(node, value).map((fault) => `${at}: ${fault}`);
    if (isMapping(value)) return faultsIn(value, node, `${at}.`);
    return [`${at}: found something else (not shown), allowed is a list of fields (name: value)`];
  });
}

function faultsOf({ format }: Field, value: unknown): string[] {
  try {
    format(value);
    return [];
  } catch (fault) {
    return [reasonOf(fault)];
  }
}

export interface FieldDescription {
  readonly name: string;
  readonly doc: string;
  readonly default: unknown;
  readonly allowed: string;
}

/** Every field with what it means and may be, for `config fields` and the man page. */
export function describeFields(): FieldDescription[] {
  const walk = (node: object, prefix: string): FieldDescription[] =>
    Object.entries(node).flatMap(([name, value]: [string, object]) => {
      if (!isField(value)) return walk(value, `${prefix}${name}.`);
      const { doc, allowed, default: fallback } = value;
      return [{ name: prefix + name, doc, default: fallback, allowed }];
    });
  return walk(schema, '');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const why = reasonOf(cause);
    throw new KleidiError('config-invalid', `configuration ${path} cannot be read: ${why}`, {
      hint: isErrno(cause, 'EACCES')
        ? 'run the command as root (sudo)'
        : 'name the file with --config FILE; kleidi.yaml(5) shows every field',
      cause,
    });
  }
}

function parseYaml(text: string, path: string): object {
  // yaml would print its warnings, which quote keys, by itself.
  const document = parseDocument(text, { prettyErrors: true, logLevel: 'error' });
  if (document.errors.length > 0) throw invalid(path, document.errors.map(yamlFault));
  const value = withoutAliases(document, path) ?? {};
  if (isMapping(value)) return value;
  throw invalid(path, ['it is not a list of fields (name: value)']);
}

/** Kind and place only: the parser's messages quote the text, which may be a secret. */
function yamlFault({ code, linePos }: YAMLError): string {
  const { line, col } = linePos?.[0] ?? { line: 0, col: 0 };
  return `line ${line}, column ${col}: not YAML (${code.toLowerCase().replaceAll('_', ' ')})`;
}

function withoutAliases(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch {
    throw invalid(path, ['it uses an alias (*name), which kleidi does not read']);
  }
}

function isMapping(value: unknown): value is object {
  return value instanceof Object && Object.getPrototypeOf(value) === Object.prototype;
}

/** Without a cause: the parsers' own errors quote the value, which may be a secret. */
function invalid(path: string, faults: readonly string[]): KleidiError {
  const list = faults.map((fault) => `\n  ${fault}`).join('');
  return new KleidiError('config-invalid', `configuration ${path} is not valid:${list}`, {
    hint: `fix the file, then run: kleidi config check --config ${path}`,
  });
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}
