// vault-known.json beside the ring: for each KEK in Vault a text that was sealed under it
// here. The fingerprint of such a KEK is made with Transit's HMAC key, which is random and
// apart from its AES key: a backup that was edited and restored brings another AES key and
// keeps the fingerprint. Only a text that opened before tells. It is this host's own, and
// outside the digest: two hosts never share one.
import { dirname, join } from 'node:path';
import { KleidiError } from '../../errors.ts';
import { isHex, isRecord, recordIn } from '../../jsonvalue.ts';
import { readOwnFileIfAny } from '../../readfile.ts';
import type { Fingerprint } from '../provider.ts';

/** Transit's own text by the KEK: `vault:vN:…`. */
export type KnownTexts = ReadonlyMap<Fingerprint, string>;

export function knownTextsPath(ringPath: string): string {
  return join(dirname(ringPath), 'vault-known.json');
}

/** Empty where there is no file. @throws KleidiError vault-known-invalid, file-failed */
export async function readKnownTexts(path: string): Promise<KnownTexts> {
  const hint = 'it must be readable by group kleidi (mode 0640)';
  const text = await readOwnFileIfAny(path, path, hint);
  return text === undefined ? new Map() : parseKnownTexts(text, path);
}

/** @throws KleidiError vault-known-invalid */
export function parseKnownTexts(text: string, path: string): KnownTexts {
  const { format, keks } = recordIn(text) ?? {};
  if (format !== 1 || !isRecord(keks)) throw damaged(path);
  const entries = Object.entries(keks).map(([fp, sealed]) => {
    if (!isHex(fp, 32) || typeof sealed !== 'string') throw damaged(path);
    if (!/^vault:v[1-9][0-9]{0,8}:[A-Za-z0-9+/]{20,200}={0,2}$/.test(sealed)) throw damaged(path);
    return [fp, sealed] as const;
  });
  return new Map(entries);
}

export function formatKnownTexts(texts: KnownTexts): string {
  const keks = Object.fromEntries([...texts].sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${JSON.stringify({ format: 1, keks }, null, 2)}\n`;
}

function damaged(path: string): KleidiError {
  return new KleidiError('vault-known-invalid', `${path} is damaged`, {
    hint: `find out who has changed it, and whether the Transit key is still the same; then put it back from a backup, or move it away and run: kleidi vault record`,
  });
}
