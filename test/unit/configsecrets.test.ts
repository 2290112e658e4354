// Somebody writes the PIN itself into pkcs11.pin, in any of the ways that YAML
// has. The file is refused, and no part of what kleidi throws or prints shows it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { loadConfig } from '../../src/config.ts';
import { KleidiError } from '../../src/errors.ts';
import { temporaryFolder } from '../support/folder.ts';

const pin = 'S3cr3tP1nV4lue';
const path = join(temporaryFolder(), 'kleidi.yaml');

/** What may follow `pin:` or `soPin:`. */
const inline: Readonly<Record<string, string>> = {
  'plain text': pin,
  'quoted text': `"${pin}"`,
  'text with a colon': `a: ${pin}`,
  'text after a unicode line separator': `"abc\\L${pin}"`,
  'text after a line break': `"abc\\n${pin}"`,
  'text that names the fault itself': `": value was ${pin}"`,
  'a list': `[${pin}]`,
  'a name with a value': `{ value: ${pin} }`,
  'a name without a value': `{ ${pin}: 1 }`,
  'a list as a name': `{ [${pin}]: 1 }`,
  'binary data': `!!binary ${Buffer.from(pin).toString('base64')}`,
  'a tag': `!${pin} x`,
  'a tag of a handle that is not declared': `!x!${pin} x`,
  'an alias': `*${pin}`,
  'two anchors': `&${pin} &b c`,
  'an unclosed quote': `"${pin}`,
  'an unknown escape': `"\\q${pin}"`,
  'a unicode escape': `"\\U${pin}"`,
  'a reserved character': `@${pin}`,
  'a directive character': `%${pin}`,
  'a block header': `|${pin}`,
  'something after the text': `'a' ${pin}`,
  'a stray brace': `}${pin}`,
  'an open brace': `{${pin}`,
  'a folded block': `>\n    ${pin}`,
  'nothing but the colon forgotten': `x\n  pin${pin}`,
  'a second document': `x\n---\n${pin}`,
};

function thrownBy(text: string): KleidiError {
  writeFileSync(path, text);
  try {
    loadConfig(path);
  } catch (error) {
    assert.ok(error instanceof KleidiError, inspect(error));
    return error;
  }
  return assert.fail(`accepted: ${text}`);
}

/** Seven characters in a row would be half of it. */
function assertHidden(text: string, about: string): void {
  for (let at = 0; at + 7 <= pin.length; at += 1) {
    assert.ok(!text.includes(pin.slice(at, at + 7)), `${about}: ${text}`);
  }
  assert.ok(!text.includes(Buffer.from(pin).toString('base64')), about);
  assert.ok(!text.includes(Buffer.from(pin).toJSON().data.join(',')), about);
}

test('a PIN in the place of its reference is refused and shown nowhere in the error', () => {
  for (const [about, value] of Object.entries(inline)) {
    for (const field of ['pin', 'soPin']) {
      const error = thrownBy(`pkcs11:\n  ${field}: ${value}\n`);
      assert.equal(error.code, 'config-invalid', about);
      if (error.message.includes('not shown'))
        assert.match(
          error.message,
          /allowed is credential:NAME or file:.*never stands in this file/,
        );
      const seen = [
        error.message,
        error.hint ?? '',
        error.stack ?? '',
        error.publicText,
        inspect(error, { depth: 10, showHidden: true, compact: false }),
      ];
      assertHidden(seen.join('\n'), `${field} as ${about}`);
    }
  }
});

test('a PIN in the place of the whole section is not shown either', () => {
  for (const value of [pin, `[${pin}]`, `pin:${pin}`]) {
    assertHidden(inspect(thrownBy(`pkcs11: ${value}\n`), { depth: 10 }), value);
  }
});

test('loading such a file prints nothing, not even a warning of the parser', () => {
  const module = fileURLToPath(new URL('../../src/config.ts', import.meta.url));
  const script = `import { loadConfig } from ${JSON.stringify(module)};
for (const path of process.argv.slice(1)) try { loadConfig(path); } catch {}`;
  const paths = Object.values(inline).map((value, i) => {
    writeFileSync(`${path}.${i}`, `pkcs11:\n  pin: ${value}\n`);
    return `${path}.${i}`;
  });
  const args = ['--input-type=module', '--eval', script, '--', ...paths];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.equal(stdout + stderr, '');
});
