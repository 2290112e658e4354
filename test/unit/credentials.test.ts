// Where PINs are read from, which files are refused, and that no error shows
// what stands in them.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { parseReference, readSecret } from '../../src/host/credentials.ts';
import { temporaryFolder } from '../support/folder.ts';

const secret = 'S3cr3tP1nV4lue';
const folder = temporaryFolder();
let made = 0;

function fileWith(contents: string, mode = 0o400): string {
  made += 1;
  const path = join(folder, `secret-${made}`);
  writeFileSync(path, contents);
  chmodSync(path, mode);
  return path;
}

async function refusal(reading: Promise<string>): Promise<string> {
  const error: unknown = await reading.then(
    () => assert.fail('a secret was read'),
    (thrown: unknown) => thrown,
  );
  const shown = inspect(error, { depth: 10, showHidden: true });
  assert.ok(!shown.includes(secret), shown);
  return error instanceof Error && 'code' in error ? String(error.code) : shown;
}

test('a reference names a credential or a file', () => {
  assert.deepEqual(parseReference('credential:so-pin'), { kind: 'credential', name: 'so-pin' });
  assert.deepEqual(parseReference('file:/a/credential:b'), {
    kind: 'file',
    path: '/a/credential:b',
  });
});

test('a file that only its owner can read is read', async () => {
  for (const mode of [0o400, 0o600]) {
    assert.equal(await readSecret(`file:${fileWith(secret, mode)}`, {}), secret);
  }
});

test('a file that anybody else could read or write is refused, whichever bit it is', async () => {
  for (const bit of [0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o044]) {
    const reference = `file:${fileWith(secret, 0o600 | bit)}`;
    assert.equal(await refusal(readSecret(reference, {})), 'pin-missing', bit.toString(8));
  }
});

test('one line break at the end is not part of the secret, everything else is', async () => {
  const contents: readonly (readonly [string, string])[] = [
    [`${secret}\n`, secret],
    [`${secret}\r\n`, secret],
    [`${secret}\n\n`, `${secret}\n`],
    [`\n${secret}`, `\n${secret}`],
    [` ${secret} `, ` ${secret} `],
    ['a\nb', 'a\nb'],
  ];
  for (const [contained, due] of contents) {
    assert.equal(await readSecret(`file:${fileWith(contained)}`, {}), due);
  }
});

test('an empty file, a folder and a file that is not there are missing PINs', async () => {
  const subfolder = join(folder, 'folder');
  mkdirSync(subfolder, { mode: 0o700 });
  const paths = [fileWith(''), fileWith('\n'), fileWith('\r\n'), subfolder, join(folder, 'none')];
  for (const path of paths) {
    assert.equal(await refusal(readSecret(`file:${path}`, {})), 'pin-missing', path);
  }
});

test('a credential is read from the folder that systemd made, whatever its mode', async () => {
  // systemd mounts it read-only, for this unit alone; its modes are its own affair.
  const path = fileWith(`${secret}\n`, 0o444);
  const env = { CREDENTIALS_DIRECTORY: folder };
  assert.equal(await readSecret(`credential:${path.slice(folder.length + 1)}`, env), secret);
  for (const name of ['none', 'folder', '..']) {
    assert.equal(await refusal(readSecret(`credential:${name}`, env)), 'pin-missing', name);
  }
});

test('a file reference does not look into the folder of systemd', async () => {
  const path = fileWith(secret);
  const env = { CREDENTIALS_DIRECTORY: join(folder, 'none') };
  assert.equal(await readSecret(`file:${path}`, env), secret);
});

test('outside a unit systemd-creds is asked; where it is missing or fails, no output of it is shown', async () => {
  const tools = join(folder, 'tools');
  mkdirSync(tools);
  const tool = (script: string): void => {
    writeFileSync(join(tools, 'systemd-creds'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  };
  const path = process.env['PATH'];
  try {
    process.env['PATH'] = tools;
    assert.equal(await refusal(readSecret('credential:pin', {})), 'tool-missing');
    for (const failing of ['exit 1', 'exit 0', 'kill -9 $$']) {
      tool(`echo ${failing === 'exit 0' ? '' : secret}; echo ${secret} >&2; ${failing}`);
      assert.equal(await refusal(readSecret('credential:pin', {})), 'pin-missing', failing);
    }
    tool(`while :; do echo ${secret}; done`);
    assert.equal(await refusal(readSecret('credential:pin', {})), 'pin-missing');
    tool('echo "$@"');
    assert.equal(
      await readSecret('credential:pin', {}),
      'decrypt --name=pin /etc/kleidi/credentials/pin.cred -',
    );
  } finally {
    process.env['PATH'] = path;
  }
});
