// What kube-apiserver would refuse at its start, one rule after the other, and what it
// takes. That kube-apiserver agrees: test/kube/encryptionconfig.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { faultsIn } from '../../src/apiserver/encryptionrules.ts';
import { key, refusedConfigurations, takenConfigurations } from '../support/encryptionconfigs.ts';

test('what kube-apiserver takes has no fault', () => {
  for (const text of takenConfigurations) assert.deepEqual(faultsIn(parse(text)), [], text);
});

test('each broken rule is named, and no secret is quoted', () => {
  for (const [text, pattern] of refusedConfigurations) {
    const faults = faultsIn(parse(text)).join('\n');
    assert.match(faults, pattern, text);
    for (const secret of [key(17), key(16), 'not-base64!']) assert.ok(!faults.includes(secret));
  }
});
