// kleidi recovery test: proves, on a machine without a token, that the recovery key opens
// bundles, and to the KEKs that they name; with a ring also that none of its KEKs is missing.

import { bundlesIn } from '../../admin/keys/oldbundles.ts';
import { expectedRing } from '../../admin/ring/expecteddigest.ts';
import type { Bundle, BundleKek } from '../../keyring/bundle.ts';
import {
  boardFaults,
  type CoverageFault,
  coverageFaults,
  rootFaults,
} from '../../keyring/coverage.ts';
import type { HybridPrivateKey } from '../../keyring/hybrid.ts';
import { testKek } from '../../keyring/recovery.ts';
import { print, printError, printJson } from '../../terminal.ts';
import { jsonOption, requiredText, several, text, together } from '../option.ts';
import type { Parsed } from '../parse.ts';
import { openRecovery } from '../prompt/passphrase.ts';
import { passphraseOption } from '../sharedoptions.ts';
import { command } from '../verb.ts';

interface Result {
  readonly fp: string;
  readonly ring: string;
  readonly opens: boolean;
}

const optionTable = {
  key: requiredText('FILE', 'the private file of the recovery key'),
  ring: text('FILE', 'from kleidi ring export, or a backup'),
  expect: text('DIGEST', 'what kleidi ring digest prints on a member'),
  'passphrase-fd': passphraseOption,
  json: jsonOption,
};

export const recoveryTest = command({
  summary: 'proves that the recovery key opens the KEKs of a bundle',
  notes: [
    `Opens each KEK of each bundle with the recovery key and computes its fingerprint. With
    --ring, each KEK of the ring that is not retired must be among them, wrapped for the
    recovery key that the ring has pinned, and all but one made under another one of them, as
    key create does it. Exit code 0: all are what they should be; 1: at least one could not be
    recovered. Bundles are in the folder bundles/ beside the ring of every host.`,
  ],
  options: optionTable,
  positionals: several('BUNDLE'),
  groups: [together('ring', 'expect')],
  example:
    'kleidi recovery test bundles/*.json --key recovery.key --ring ring.json --expect sha256:0a1b…',
  run: test,
});

async function test(options: Parsed<typeof optionTable>): Promise<number> {
  const file = options.given('key');
  const ring = (await expectedRing(options.text('ring'), options.text('expect')))?.ring;
  const bundles = (await Promise.all(options.positionals.map(bundlesIn))).flat();
  const key = await openRecovery(file, options.text('passphrase-fd'));
  const all = bundles.flatMap(({ keks }) => keks);
  const results = bundles.flatMap((bundle) => testBundle(bundle, key, all));
  const faults =
    ring === undefined
      ? []
      : [...coverageFaults(ring, bundles), ...rootFaults(ring, all), ...boardFaults(ring)];
  if (options.json) printJson({ keks: results, ...(ring && { faults }) });
  else report(results, faults);
  return results.every(({ opens }) => opens) && faults.length === 0 ? 0 : 1;
}

function report(results: readonly Result[], faults: readonly CoverageFault[]): void {
  for (const { fp, opens } of results) {
    print(`KEK ${fp}: ${opens ? 'the recovery key opens it' : 'NOT recoverable'}`);
  }
  for (const { fp, fault } of faults) print(`KEK ${fp}: NOT covered: ${fault}`);
}

function testBundle(bundle: Bundle, key: HybridPrivateKey, all: readonly BundleKek[]): Result[] {
  const { ring, keks } = bundle;
  return keks.map((kek) => {
    try {
      testKek(bundle, kek, key, all);
      return { fp: kek.fp, ring, opens: true };
    } catch (error) {
      printError(error);
      return { fp: kek.fp, ring, opens: false };
    }
  });
}
