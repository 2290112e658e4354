// kleidi recovery test: proves, on a machine without a token, that the recovery
// key opens bundles, and to the KEKs that they name.
import type { Bundle } from '../keyring/bundle.ts';
import { readBundle } from '../keyring/bundlefile.ts';
import { testKek } from '../keyring/recovery.ts';
import { openRecoveryKey } from '../keyring/recoverykey.ts';
import { readPassphrase } from './passphrase.ts';
import { print, printError, printJson } from './terminal.ts';
import { parse, usage, type Verb } from './verb.ts';

export const recoveryTest: Verb = {
  help: `usage: kleidi recovery test BUNDLE... --key FILE [--passphrase-fd N] [--json]

Opens each KEK of each bundle with the recovery key and computes its fingerprint.
Exit code 0: all are what they should be; 1: at least one could not be recovered.
Bundles are in the folder bundles/ beside the ring of every host.

  --key FILE          the private file of the recovery key
  --passphrase-fd N   read its passphrase from file descriptor N

example: kleidi recovery test bundles/*.json --key recovery.key`,
  run: test,
};

async function test(args: readonly string[]): Promise<number> {
  const options = parse(args, { key: 'text', 'passphrase-fd': 'text' }, { least: 1, most: 1e6 });
  const file = options.text('key');
  if (file === undefined) throw usage('--key is missing');
  const bundles = await Promise.all(options.positionals.map(readBundle));
  const passphrase = await readPassphrase(options.text('passphrase-fd'));
  const key = await openRecoveryKey(file, passphrase).finally(() => passphrase.fill(0));
  const results = bundles.flatMap((bundle) => testBundle(bundle, key));
  if (options.json) printJson({ keks: results });
  for (const { fp, opens } of options.json ? [] : results) {
    print(`KEK ${fp}: ${opens ? 'the recovery key opens it' : 'NOT recoverable'}`);
  }
  return results.every(({ opens }) => opens) ? 0 : 1;
}

function testBundle(
  { ring, keks }: Bundle,
  key: Parameters<typeof testKek>[2],
): { fp: string; ring: string; opens: boolean }[] {
  return keks.map((kek) => {
    try {
      testKek(ring, kek, key);
      return { fp: kek.fp, ring, opens: true };
    } catch (error) {
      printError(error);
      return { fp: kek.fp, ring, opens: false };
    }
  });
}
