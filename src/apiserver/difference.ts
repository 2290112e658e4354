// A plan as people read it: unified diffs. What is secret in an
// EncryptionConfiguration is masked. The owner of diff.
import { createTwoFilesPatch } from 'diff';
import { parse } from 'yaml';
import type { FileChange } from './change.ts';

export function differenceOf({ path, before, after }: FileChange): string {
  const patch = createTwoFilesPatch(
    before === undefined ? '/dev/null' : path,
    after === undefined ? '/dev/null' : path,
    masked(before ?? ''),
    masked(after ?? ''),
    '',
    '',
    { context: 3 },
  );
  return patch.replace(/^=+\n/, '').replace(/\t\n/g, '\n').trimEnd();
}

/** The keys of aescbc, aesgcm and secretbox stand in clear in these files. */
function masked(text: string): string {
  const known = secretsIn(text).reduce((all, secret) => all.replaceAll(secret, '***'), text);
  return known.replace(/((?:^|[\s{,"'])secret["']?\s*:\s*)["']?[A-Za-z0-9+/=_-]+["']?/g, '$1***');
}

/** However they are written: a block or folded text has no name on its lines. */
function secretsIn(text: string): string[] {
  const found: string[] = [];
  try {
    parse(text, (name: unknown, value: unknown) => {
      if (name === 'secret' && typeof value === 'string') found.push(...value.split(/\s+/));
      return value;
    });
  } catch {
    return [];
  }
  return found.filter((word) => word !== '');
}
