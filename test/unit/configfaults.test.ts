// What is refused in kleidi.yaml: every fault is named, and all at once.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Document } from 'yaml';
import { type Config, describeFields, loadConfig } from '../../src/config.ts';
import { KleidiError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/folder.ts';

const path = join(temporaryFolder(), 'kleidi.yaml');

function load(text: string): Config {
  writeFileSync(path, text);
  return loadConfig(path);
}

/** The faults, a line each, without the first line, which names the file. */
function faultsOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    assert.ok(error instanceof KleidiError, String(error));
    assert.equal(error.code, 'config-invalid');
    const [first, ...faults] = error.message.split('\n').map((line) => line.trim());
    assert.ok(first?.includes(path));
    return faults;
  }
  return assert.fail(`accepted: ${text}`);
}

const nameOf = (fault: string): string => fault.replace(/: .*/, '');

test('every field refuses a wrong value and is named, all at once', () => {
  // A list of one digit is right for no field.
  const wrong = new Document({ more: 1 });
  for (const { name } of describeFields()) wrong.setIn(name.split('.'), ['7']);
  const faults = faultsOf(wrong.toString());
  const due = [...describeFields().map(({ name }) => name), 'more'];
  assert.deepEqual(faults.map(nameOf).sort(), due.sort());
});

test('values just outside what is allowed are refused, those just inside are not', () => {
  const edges: readonly (readonly [string, string, readonly string[], readonly string[]])[] = [
    ['limits', 'queue', ['1', '65536'], ['0', '65537', '1.5', '"5"', '"12abc"', '.inf', 'true']],
    ['limits', 'connections', ['1', '15000'], ['0', '15001', '-1']],
    ['limits', 'callTimeoutMs', ['100', '60000'], ['99', '60001', 'null']],
    ['limits', 'openTimeoutMs', ['100', '20000'], ['99', '20001']],
    ['selfTest', 'intervalMs', ['100', '3600000'], ['99', '3600001']],
    ['verifier', 'intervalMs', ['1000', '86400000'], ['999', '86400001']],
    ['log', 'level', ['debug', 'error'], ['trace', 'DEBUG', '5', '""']],
    ['log', 'format', ['auto', 'json'], ['xml', 'null']],
    ['pkcs11', 'token', ['t', 't'.repeat(32)], ['""', 't'.repeat(33), 'ä'.repeat(17), '5']],
    ['pkcs11', 'module', ['/m.so'], ['m.so', './m.so', '""', 'null', '5']],
    ['pkcs11', 'pin', ['credential:pin', 'file:/p'], ['file:p', '"credential:"', 'credential:a/b']],
    ['pkcs11', 'environment', ['[]', '[HSM_CONF, _a1]'], ['HSM', '[A=B]', '[""]', '[1A]', '{}']],
    ['pkcs11', 'soPin', ['credential:a.b-c_d'], ['PIN', 'env:PIN', '5']],
  ];
  for (const [section, field, inside, outside] of edges) {
    for (const value of inside) load(`${section}: { ${field}: ${value} }`);
    for (const value of outside) {
      const faults = faultsOf(`${section}: { ${field}: ${value} }`);
      assert.deepEqual(faults.map(nameOf), [`${section}.${field}`], value);
    }
  }
});

test('an unknown field is named wherever it stands, and a dotted name is one', () => {
  const unknown: readonly (readonly [string, string])[] = [
    ['rnig: /a', 'rnig'],
    ['pkcs11: { tokn: a }', 'pkcs11.tokn'],
    ['foo: { bar: { baz: 1 } }', 'foo'],
    ['foo: {}', 'foo'],
    ['"log.level": debug', 'log.level'],
    ['__proto__: { ring: /a }', '__proto__'],
    ['pkcs11: { __proto__: { token: a } }', 'pkcs11.__proto__'],
    ['constructor: { prototype: { x: 1 } }', 'constructor'],
    ['toString: 1', 'toString'],
    ['5: 1', '5'],
  ];
  for (const [text, name] of unknown) assert.deepEqual(faultsOf(text), [`${name}: unknown field`]);
});

test('a section that is no section is one fault, named by its own name', () => {
  for (const [text, name] of [
    ['log: 5', 'log'],
    ['log:', 'log'],
    ['pkcs11: []', 'pkcs11'],
    ['limits: null', 'limits'],
    ['limits: [1, 2]', 'limits'],
    ['verifier: !!binary aGVsbG8=', 'verifier'],
  ] as const) {
    assert.deepEqual(faultsOf(text).map(nameOf), [name], text);
  }
});

test('what is not YAML, or no list of fields, is refused with its place', () => {
  for (const [text, place] of [
    ['ring: [', /^line 1, column 8/],
    ['ring: /a\nring: /b', /^line 2, column 1: .*duplicate key/],
    ['\tring: /a', /^line 1, column 1/],
    ['ring: /a\n---\nring: /b', /^line 2, column 1/],
    ['- a\n- b', /not a list of fields/],
    ['hello', /not a list of fields/],
  ] as const) {
    assert.match(faultsOf(text).join(), place, text);
  }
});

test('aliases are refused, so that a small file cannot grow into a huge one', () => {
  const bomb = [...'abcdefgh'].map((name, i) => {
    const before = String.fromCharCode(name.charCodeAt(0) - 1);
    return `${name}: &${name} [${Array(9).fill(i === 0 ? 'x' : `*${before}`)}]`;
  });
  for (const text of [bomb.join('\n'), 'ring: &a [*a]', 'ring: *nothing']) {
    assert.match(faultsOf(text).join(), /alias/);
  }
});

test('a file that cannot be read is named', () => {
  for (const missing of [`${path}.none`, temporaryFolder()]) {
    assert.throws(
      () => loadConfig(missing),
      (error) =>
        error instanceof KleidiError &&
        error.code === 'config-invalid' &&
        error.message.includes(missing),
    );
  }
});

test('a field that was removed says what to do instead', () => {
  for (const value of ['true', 'false']) {
    const [fault, ...more] = faultsOf(`vault:\n  auth:\n    wrapped: ${value}\n`);
    assert.deepEqual(more, []);
    assert.match(fault ?? '', /^vault\.auth\.wrapped: removed: .*vault unwrap -field=secret_id/);
  }
});
