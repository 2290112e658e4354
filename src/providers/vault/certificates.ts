// When the certificates end that this host was given for Vault.
import { X509Certificate } from 'node:crypto';
import type { VaultSettings } from './configured.ts';

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Unix times in ms, as they were read when Vault was opened. `client`: the first of its file,
 * the host's own. `ca`: the last that ends of its file, as one that is replaced stays beside
 * its successor. Of a file that cannot be parsed nothing: TLS says what is wrong with it.
 */
export function endsOf({ ca, auth }: Pick<VaultSettings, 'ca' | 'auth'>): Map<string, number> {
  const ends = new Map<string, number>();
  const [client] = auth.method === 'cert' ? endsIn(auth.certificate) : [];
  if (client !== undefined) ends.set('client', client);
  const cas = endsIn(ca ?? '');
  if (cas.length > 0) ends.set('ca', Math.max(...cas));
  return ends;
}

function endsIn(text: string): number[] {
  try {
    const found = text.match(pem) ?? [];
    return found.map((each) => new X509Certificate(each).validToDate.getTime());
  } catch {
    return [];
  }
}
