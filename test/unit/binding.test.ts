// What a credential of systemd-creds is bound to, by its first bytes; before-start tells the same
// from the same bytes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { bindingOf, hasTpm } from '../../src/host/binding.ts';

const rest = '00'.repeat(40);
const cases = [
  ['5a1c6a86df9d4096b1d5a65e0862f19a', 'host'],
  ['0c7cc07b117645919c4b0bea08bc20fe', 'tpm2'],
  ['93a894094874449090caf2fc93cab553', 'host+tpm2'],
  ['faf7eb9341e3412ca1a436f95a29362f', 'tpm2'],
  ['af4950a849134eb1a73846304ff30c05', 'host+tpm2'],
] as const;
const sealed = (id: string): string => Buffer.from(id + rest, 'hex').toString('base64');

test('each kind is known, and what is none is not', () => {
  for (const [id, binding] of cases) assert.equal(bindingOf(sealed(id)), binding, id);
  assert.equal(bindingOf(sealed('058469daf6f543248005 49da0f8ea2fb'.replace(' ', ''))), undefined);
  assert.equal(bindingOf(''), undefined);
  assert.equal(bindingOf('a PIN in clear'), undefined);
});

test('before-start knows all that are bound to a TPM, by what they begin with', () => {
  const script = readFileSync('systemd/before-start', 'utf8');
  for (const [id, binding] of cases) {
    const line = script.split('\n').find((each) => each.includes(sealed(id).slice(0, 20)));
    assert.equal(line?.endsWith(`echo ${binding} ;;`) ?? false, binding !== 'host', id);
  }
});

test('a TPM is there where systemd was told of one', () => {
  assert.equal(hasTpm({ SYSTEMD_TPM2_DEVICE: 'tabrmd:bus_name=com.intel.tss2.Tabrmd' }), true);
});
