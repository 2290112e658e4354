// The names of all objects of a resource, page by page: of what is in them comes no more than
// metadata, so that a page is small whatever the objects hold.
import { isRecord, recordIn } from '../../jsonvalue.ts';
import type { ApiserverClient } from './client.ts';
import { listIn, type StoredResource } from './discovery.ts';
import { callPatiently } from './patience.ts';

const pageObjects = 500;
const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
/** Tokens that were no good in a row: from then on it is no matter of time. */
const maxExpired = 5;

export interface Listed {
  /** NAMESPACE/NAME, or NAME where it has no namespace. */
  readonly name: string;
  readonly path: string;
  /** Objects that come after it, as far as the API server says. */
  readonly left: number;
}

/**
 * Objects that were there at the beginning are all listed, some twice where the listing had to
 * begin anew: after some minutes etcd has compacted what a page goes on from (410 Gone). The
 * API server then gives a token that goes on at the same name, in the state of now.
 * @throws KleidiError apiserver-unreachable
 */
export async function* listObjects(
  client: ApiserverClient,
  resource: StoredResource,
): AsyncGenerator<Listed> {
  let [token, expired] = ['', 0];
  do {
    const page = await pageAt(client, resource, token);
    expired = page.status === 410 ? expired + 1 : 0;
    if (page.status !== 200 && (expired === 0 || expired > maxExpired))
      throw client.unexpected(`GET ${resource.base}/${resource.plural}`, page.status);
    if (expired === 0) yield* listedIn(page.fields, page.metadata, resource);
    token = typeof page.metadata['continue'] === 'string' ? page.metadata['continue'] : '';
  } while (token !== '' || expired > 0);
}

interface Page {
  readonly status: number;
  readonly fields: Fields;
  readonly metadata: Fields;
}

async function pageAt(
  client: ApiserverClient,
  { base, plural }: StoredResource,
  token: string,
): Promise<Page> {
  const query = `limit=${pageObjects}${token && `&continue=${encodeURIComponent(token)}`}`;
  const path = `${base}/${plural}?${query}`;
  const { status, body } = await callPatiently(client, { method: 'GET', path, accept });
  const fields = recordIn(body) ?? {};
  return { status, fields, metadata: isRecord(fields['metadata']) ? fields['metadata'] : {} };
}

type Fields = Readonly<Record<string, unknown>>;

function* listedIn(page: Fields, { remainingItemCount }: Fields, resource: StoredResource) {
  const items = listIn(page, 'items');
  const after = typeof remainingItemCount === 'number' ? remainingItemCount : 0;
  for (const [index, { metadata }] of items.entries()) {
    const left = items.length - index - 1 + after;
    if (isRecord(metadata)) yield { ...placeOf(metadata, resource), left };
  }
}

function placeOf({ namespace, name }: Fields, { base, plural, isNamespaced }: StoredResource) {
  const path = isNamespaced ? `${base}/namespaces/${namespace}/${plural}` : `${base}/${plural}`;
  return {
    name: isNamespaced ? `${namespace}/${name}` : String(name),
    path: `${path}/${encodeURIComponent(String(name))}`,
  };
}
