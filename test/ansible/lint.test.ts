// The collection by the rules of its trade: ansible-lint at its strictest profile, and
// arguments that are what the defaults are.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { ansibleCommands, Controller } from '../support/ansible.ts';

const collection = fileURLToPath(new URL('../../ansible', import.meta.url));
const controller = new Controller(new Map());

// No link is followed: of a collection behind one the linters read the folder alone.
const copy = join(controller.folder, 'copy/ansible_collections/kleidi/kleidi');
cpSync(collection, copy, { recursive: true });

test('ansible-lint has nothing against it, at its profile production', async () => {
  const { exitCode, output } = await controller.run(
    'ansible-lint',
    ...['--offline', '--nocolor', '--project-dir', copy, copy],
  );
  assert.equal(exitCode, 0, output);
  const [, files] = /Passed: 0 failure\(s\), 0 warning\(s\) in (\d+) files/.exec(output) ?? [];
  assert.ok(Number(files) > 30, output);
});

test('yamllint has nothing against it', async () => {
  const rules = '{extends: default, rules: {line-length: {max: 130}}}';
  const { exitCode, output } = await controller.run(
    'yamllint',
    '--strict',
    '-d',
    rules,
    collection,
  );
  assert.equal(exitCode, 0, output);
});

/** Those that are done without a download, which `ansible-test` would take no hash of. */
const sanity = [
  'ansible-doc',
  'line-endings',
  'no-illegal-filenames',
  'no-smart-quotes',
  'shebang',
];

test(`ansible-test sanity has nothing against it: ${sanity.join(', ')}`, () => {
  const commands = ansibleCommands();
  const { status, stdout, stderr } = spawnSync(
    join(commands, 'ansible-test'),
    ['sanity', ...sanity.flatMap((name) => ['--test', name])],
    {
      cwd: copy,
      env: { PATH: `${commands}:${process.env['PATH']}`, HOME: controller.folder, LANG: 'C.UTF-8' },
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stdout + stderr);
  for (const name of sanity) assert.ok((stdout + stderr).includes(`sanity test "${name}"`), name);
});

test('what a command would have said is not read where it has failed: its error would be lost', () => {
  const folder = join(collection, 'roles/kleidi/tasks');
  const conditions = readdirSync(folder).flatMap((name) =>
    tasksIn(parse(readFileSync(join(folder, name), 'utf8'))).map((task) => ({
      name,
      condition: String(task['changed_when'] ?? ''),
    })),
  );
  const reading = conditions.filter(({ condition }) => condition.includes('from_json'));
  assert.ok(reading.length > 3);
  for (const { name, condition } of reading) assert.match(condition, /^\w+\.rc == 0 and /, name);
});

function tasksIn(list: unknown): Record<string, unknown>[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((task: Record<string, unknown>) => [
    task,
    ...['block', 'rescue', 'always'].flatMap((part) => tasksIn(task[part])),
  ]);
}

interface Option {
  readonly default?: unknown;
}

test('what the role takes is what it has defaults for', () => {
  const read = (name: string): unknown =>
    parse(readFileSync(join(collection, 'roles/kleidi', name), 'utf8'));
  const defaults = read('defaults/main.yml') as Record<string, unknown>;
  const { argument_specs: specs } = read('meta/argument_specs.yml') as {
    argument_specs: { main: { options: Record<string, Option> } };
  };
  const { options } = specs.main;
  const said = Object.entries(options).map(([name, option]) => [name, option.default]);
  assert.deepEqual(Object.fromEntries(said), defaults);
});

for (const count of [1, 3, 50]) {
  test(`the example for ${count} masters has so many, and variables of the role`, async () => {
    const inventory = join(collection, `examples/inventory-${count}.yml`);
    const { output } = await controller.run('ansible-inventory', '-i', inventory, '--list');
    const listed = JSON.parse(output) as { _meta: { hostvars: Record<string, object> } };
    const variables = Object.values(listed._meta.hostvars);
    assert.equal(variables.length, count);
    const known = parse(readFileSync(join(collection, 'roles/kleidi/defaults/main.yml'), 'utf8'));
    const named = variables.flatMap((each) => Object.keys(each));
    const own = named.filter((name) => name.startsWith('kleidi_'));
    assert.ok(own.length > 0);
    for (const name of own) assert.ok(Object.hasOwn(known as object, name), name);
  });
}
