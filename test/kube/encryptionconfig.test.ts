// kube-apiserver's own loader, on each Kubernetes line, judges the files that our
// port of its rules takes and refuses, and those that kleidi writes.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { faultsIn } from '../../src/apiserver/encryptionrules.ts';
import { refusedConfigurations, takenConfigurations } from '../support/encryptionconfigs.ts';
import { lines, missingKubeClient, oldest, validateConfigurations } from '../support/kubeclient.ts';

const refused = refusedConfigurations.map(([text]) => text);
const isStrictness = (text: string): boolean =>
  faultsIn(parse(text)).every((fault) => fault.includes('unknown field'));
/** What begins with a brace is JSON to Kubernetes, not YAML in one line. */
const asJson = (text: string): string => JSON.stringify(parse(text));
/** What `apiserver enable` has made of each phase and distribution. */
const written = globSync('test/vectors/apiserver/**/encryption-config.yaml.{read,write,only}');

for (const line of lines) {
  const skip = missingKubeClient(line);

  test(`Kubernetes ${line} takes what we take, and refuses what we refuse`, { skip }, () => {
    const reasons = validateConfigurations(line, [...takenConfigurations, ...refused].map(asJson));
    const taken = reasons.slice(0, takenConfigurations.length);
    const reasonFor = (text: string): string | undefined =>
      reasons[takenConfigurations.length + refused.indexOf(text)];
    assert.deepEqual(
      takenConfigurations.flatMap((text, i) => (taken[i] === '' ? [] : [`${text}: ${taken[i]}`])),
      [],
      'it refuses what we take',
    );
    // Decoding is strict since Kubernetes 1.30; before, a field with a typing error is lost.
    const expected = line === oldest ? refused.filter((text) => !isStrictness(text)) : refused;
    assert.deepEqual(
      expected.filter((text) => reasonFor(text) === ''),
      [],
      'it takes what we refuse',
    );
  });

  test(`Kubernetes ${line} takes every file that kleidi writes`, { skip }, () => {
    assert.ok(written.length >= 12, `${written.length} files`);
    const texts = written.map((path) => readFileSync(path, 'utf8'));
    const reasons = validateConfigurations(line, texts);
    assert.deepEqual(
      reasons.flatMap((reason, i) => (reason === '' ? [] : [`${written[i]}: ${reason}`])),
      [],
    );
  });
}
