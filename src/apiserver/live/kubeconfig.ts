// The administrator's kubeconfig of this host: how to prove who asks, and who answers.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { KleidiError } from '../../errors.ts';
import { isRecord } from '../../jsonvalue.ts';
import { textAt } from '../hostfiles.ts';

export interface Kubeconfig {
  readonly server: URL;
  /** The name that its certificate must have. */
  readonly serverName: string;
  readonly ca: string | undefined;
  readonly login: Login;
}

type Login =
  | { readonly kind: 'certificate'; readonly cert: string; readonly key: string }
  | { readonly kind: 'token'; readonly token: string };

type Fields = Readonly<Record<string, unknown>>;

/** @throws KleidiError refused, file-failed */
export function readKubeconfig(root: string, path: string): Kubeconfig {
  const text = textAt(root, path);
  if (text === undefined) throw unusable(path, 'it is missing');
  const file = fieldsIn(text, path);
  const name = file['current-context'];
  const context = named(file, 'contexts', name, 'context');
  const cluster = named(file, 'clusters', context?.['cluster'], 'cluster');
  const user = named(file, 'users', context?.['user'], 'user');
  if (cluster === undefined || user === undefined)
    throw unusable(path, 'its current-context names no cluster and user of it');
  const server = serverIn(cluster, path);
  if (cluster['insecure-skip-tls-verify'] === true)
    throw unusable(path, 'it trusts any server (insecure-skip-tls-verify)');
  const read = (fields: Fields, field: string): string | undefined =>
    contentsOf(fields, field, root, path);
  return {
    server,
    serverName: textIn(cluster, 'tls-server-name') ?? server.hostname,
    ca: read(cluster, 'certificate-authority'),
    login: loginIn(user, read, path),
  };
}

function fieldsIn(text: string, path: string): Fields {
  try {
    const found: unknown = parse(text, { maxAliasCount: 0 });
    if (isRecord(found)) return found;
  } catch {
    // Its text may hold a key: nothing of it is shown.
  }
  throw unusable(path, 'it is no kubeconfig');
}

/** The entry of that name in one of the lists of a kubeconfig. */
function named(file: Fields, list: string, name: unknown, field: string): Fields | undefined {
  const entries = file[list];
  if (!Array.isArray(entries)) return undefined;
  const entry: unknown = entries.find((each: unknown) => isRecord(each) && each['name'] === name);
  const found = isRecord(entry) ? entry[field] : undefined;
  return isRecord(found) ? found : undefined;
}

function serverIn(cluster: Fields, path: string): URL {
  const server = URL.parse(textIn(cluster, 'server') ?? '');
  if (server?.protocol === 'https:') return server;
  throw unusable(path, 'its server is no https address');
}

function loginIn(
  user: Fields,
  read: (fields: Fields, field: string) => string | undefined,
  path: string,
): Login {
  const [cert, key] = [read(user, 'client-certificate'), read(user, 'client-key')];
  if (cert !== undefined && key !== undefined) return { kind: 'certificate', cert, key };
  const token = textIn(user, 'token') ?? read(user, 'tokenFile')?.trim();
  if (token !== undefined) return { kind: 'token', token };
  throw unusable(path, 'its user has neither a client certificate nor a token');
}

/** `NAME-data` in base64, or a file that NAME names, relative to the kubeconfig. */
function contentsOf(fields: Fields, field: string, root: string, path: string): string | undefined {
  const data = textIn(fields, `${field}-data`);
  if (data !== undefined) return Buffer.from(data, 'base64').toString();
  const file = textIn(fields, field);
  if (file === undefined) return undefined;
  const at = join(root, resolve(dirname(path), file));
  try {
    return readFileSync(at, 'utf8');
  } catch (cause) {
    throw unusable(path, `${field} ${file} cannot be read`, cause);
  }
}

function textIn(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function unusable(path: string, why: string, cause?: unknown): KleidiError {
  return new KleidiError('refused', `the API server cannot be asked with ${path}: ${why}`, {
    hint: 'run as root, and name another kubeconfig with --kubeconfig FILE: one with a client certificate or a token',
    cause,
  });
}
