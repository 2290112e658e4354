// Man pages and completion, made from the built program: complete, and read
// without complaint by the tools that they are for.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { documents, writeDocuments } from '../../packaging/documents.ts';
import type { DescribedCommand } from '../../src/cli/describe.ts';
import { describeFields } from '../../src/config.ts';
import { temporaryFolder } from '../support/folder.ts';
import { kleidi, program } from '../support/kleidi.ts';
import { missingTool } from '../support/skip.ts';

const pages = documents(program);
const { kleidi8, kleidiYaml5 } = pages;
const commands = JSON.parse((await kleidi(['help', '--json'])).stdout) as DescribedCommand[];
const folder = temporaryFolder();
writeDocuments(program, folder);

/** What a person sees, without the formatting. */
function plain(page: string): string {
  return page.replaceAll('\\-', '-').replaceAll('\\e', '\\').replace(/\\&/g, '');
}

test('kleidi(8) names every verb, action and option', () => {
  assert.ok(commands.length > 10);
  for (const { command, options } of commands) {
    assert.ok(plain(kleidi8).includes(`kleidi ${command}`), command);
    for (const name of Object.keys(options)) {
      assert.ok(plain(kleidi8).includes(`--${name}`), `${command} --${name}`);
    }
  }
  assert.doesNotMatch(kleidi8, /token.work|verify.token|@[A-Z]+@/);
});

test('kleidi.yaml(5) names every field, what it may be, and its default', () => {
  for (const { name, default: value } of describeFields()) {
    assert.ok(plain(kleidiYaml5).includes(`.B ${name}\n`), name);
    if (name !== 'pkcs11.module') assert.ok(plain(kleidiYaml5).includes(`Default: ${value}`), name);
  }
  assert.match(plain(kleidiYaml5), /Allowed: a whole number from 1 to 65536\./);
});

test('the same program gives the same bytes', () => {
  assert.deepEqual(documents(program), pages);
});

for (const page of ['kleidi.8', 'kleidi.yaml.5']) {
  const path = join(folder, 'man', page);

  test(`mandoc has nothing against ${page}`, { skip: missingTool('mandoc') }, () => {
    const { stdout, stderr } = spawnSync('mandoc', ['-Tlint', '-Wstyle', path], {
      encoding: 'utf8',
    });
    assert.equal(stdout + stderr, '');
  });

  test(`groff has nothing against ${page}`, { skip: missingTool('groff') }, () => {
    const args = ['-man', '-Tutf8', '-ww', '-z', path];
    const { status, stderr } = spawnSync('groff', args, { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });
}

/** What a real bash offers for this line, the last word being under way. */
function complete(...words: string[]): string[] {
  const script = `
    source ${join(folder, 'kleidi.bash-completion')}
    [ "$(complete -p kleidi)" = 'complete -o filenames -F _kleidi kleidi' ] || exit 3
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _kleidi kleidi "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '-eu', '-c', script, 'bash', 'kleidi', ...words];
  const { status, stdout, stderr } = spawnSync('bash', args, { encoding: 'utf8', cwd: folder });
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  return stdout.split('\n').filter((line) => line !== '');
}

const bash = { skip: missingTool('bash') };

test('bash completes every verb and every action', bash, () => {
  const offered = complete('');
  for (const { command } of commands) {
    const [verb = '', action] = command.split(' ');
    assert.ok(offered.includes(verb), verb);
    if (action !== undefined) assert.ok(complete(verb, '').includes(action), command);
  }
  assert.ok(!offered.includes('token-work'));
  assert.deepEqual(complete('prov'), ['provision']);
  assert.deepEqual(complete('help', 'prov'), ['provision']);
  assert.deepEqual(complete('key', 'cr'), ['create']);
});

test('bash completes every option of every verb and action', bash, () => {
  for (const { command, options } of commands) {
    const wanted = Object.keys(options).map((name) => `--${name}`);
    assert.deepEqual(complete(...command.split(' '), '--').sort(), wanted.sort(), command);
  }
  assert.deepEqual(complete('provision', '--tok'), ['--token-only']);
});

test('bash completes what an option may be: a choice, a file, or nothing', bash, () => {
  assert.deepEqual(complete('doctor', '--only', 'to'), ['token']);
  assert.deepEqual(complete('doctor', '--only', 'token', '--only', 'ri'), ['ring']);
  assert.deepEqual(complete('status', '--config', 'kleidi.b'), ['kleidi.bash-completion']);
  assert.deepEqual(complete('provision', '--ring', ''), []);
  assert.deepEqual(complete('snapshot', 'scan', 'kleidi.b'), ['kleidi.bash-completion']);
});

test('what completion cannot know does no harm', bash, () => {
  for (const words of [
    ['frob', ''],
    ['frob', 'x', '--'],
    ['key', 'frob', ''],
    ["'; exit 9; '", ''],
  ]) {
    complete(...words);
  }
});
