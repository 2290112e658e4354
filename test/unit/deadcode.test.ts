// A file that nothing loads and an export that nothing else uses are dead: they go.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const sources = globSync('src/**/*.ts');
const users = [...sources, ...globSync('{test,packaging}/**/*.{ts,mjs}')];
/** What a program starts with: not loaded by another file, or by a computed name. */
const entries = ['src/main.ts', 'src/load.ts', 'src/providers/pkcs11/threadentry.ts'];

const named = /(?:import|export)\s+(?:type\s+)?\{([^}]*)\}\s+from\s+'(\.[^']+)'/g;
const destructured = /const \{([^}]*)\} = await import\(\s*'(\.[^']+)'/g;
const loaded = /import\(\s*'(\.[^']+)'\s*\)\)?(?:\.(\w+))?/g;
const whole = /import \* as \w+ from '(\.[^']+)'/g;
const declaration = /^export (?:async )?(?:const|function\*?|class|interface|type) (\w+)/gm;

/** `FILE NAME` of all that is used from another file; `*` where that is not told by name. */
function usedIn(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const at = (path: string): string => normalize(join(dirname(file), path));
  const lists = [...text.matchAll(named), ...text.matchAll(destructured)];
  return [
    ...lists.flatMap(([, names = '', path = '']) =>
      names.split(',').map((name) => `${at(path)} ${/(?:type )?(\w+)/.exec(name.trim())?.[1]}`),
    ),
    ...[...text.matchAll(loaded)].map(([, path = '', name = '*']) => `${at(path)} ${name}`),
    ...[...text.matchAll(whole)].map(([, path = '']) => `${at(path)} *`),
  ];
}

const used = new Set(users.flatMap(usedIn));

test('every file of src is loaded by another one', () => {
  const files = new Set([...used].map((each) => each.split(' ')[0]));
  assert.deepEqual(
    sources.filter((file) => !files.has(file) && !entries.includes(file)),
    [],
  );
});

test('every export is used by another file', () => {
  const dead = sources.flatMap((file) => {
    if (used.has(`${file} *`) || entries.includes(file)) return [];
    const names = [...readFileSync(file, 'utf8').matchAll(declaration)].map(([, name]) => name);
    return names.filter((name) => !used.has(`${file} ${name}`)).map((name) => `${file} ${name}`);
  });
  assert.deepEqual(dead, []);
});
