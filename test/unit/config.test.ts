// kleidi.yaml: its defaults, and that nothing but the file decides.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Config, describeFields, loadConfig } from '../../src/config.ts';
import { temporaryFolder } from '../support/folder.ts';

const path = join(temporaryFolder(), 'kleidi.yaml');

function load(text: string): Config {
  writeFileSync(path, text);
  return loadConfig(path);
}

const isSection = (value: unknown): value is object =>
  value instanceof Object && !Array.isArray(value);

function flat(section: object, prefix: string): [string, unknown][] {
  return Object.entries(section).flatMap(([name, value]: [string, unknown]) =>
    isSection(value) ? flat(value, `${prefix}${name}.`) : [[prefix + name, value]],
  );
}

function objectsIn(value: unknown): object[] {
  return value instanceof Object ? [value, ...Object.values(value).flatMap(objectsIn)] : [];
}

test('an empty file means the defaults, which are those that are documented', () => {
  const config = load('');
  assert.deepEqual(load('# only a comment\n'), config);
  assert.deepEqual(load('log: {}\n'), config);
  const documented = describeFields().map(({ name, default: value }) => [name, value]);
  assert.deepEqual(flat(config, ''), documented);
  assert.equal(config.ring, '/var/lib/kleidi/ring.json');
  assert.equal(config.pkcs11.pin, 'credential:pin');
  assert.equal(config.limits.callTimeoutMs, 2500);
});

test('a field that is given replaces its default and no other', () => {
  const { log, limits, ...rest } = load('log: { level: debug }\nlimits:\n  queue: 1\n');
  const { log: defaultLog, limits: defaultLimits, ...defaultRest } = load('');
  assert.deepEqual(log, { ...defaultLog, level: 'debug' });
  assert.deepEqual(limits, { ...defaultLimits, queue: 1 });
  assert.deepEqual(rest, defaultRest);
});

test('the result is frozen at every depth', () => {
  const config = load('');
  const parts = objectsIn(config);
  assert.ok(parts.includes(config.vault.auth));
  for (const part of parts) assert.ok(Object.isFrozen(part));
});

test('neither environment nor command line changes a field', () => {
  const before = load('');
  const names = describeFields().flatMap(({ name }) => {
    const last = name.split('.').at(-1) ?? name;
    return [
      name,
      name.toUpperCase(),
      last,
      last.toUpperCase(),
      name.replace('.', '_').toUpperCase(),
    ];
  });
  const argv = [...process.argv];
  try {
    for (const name of names) process.env[name] = '/from-outside';
    process.argv.push(...names.map((name) => `--${name}=/from-outside`));
    assert.deepEqual(load(''), before);
  } finally {
    process.argv.splice(0, process.argv.length, ...argv);
    for (const name of names) delete process.env[name];
  }
});
