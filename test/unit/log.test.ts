// The log: its three forms, and an attack on the redact list.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LogFormat, openLog } from '../../src/log.ts';

const formats: readonly LogFormat[] = ['json', 'journald', 'pretty'];

function capture(format: LogFormat, write: (log: ReturnType<typeof openLog>) => void): string {
  const lines: string[] = [];
  write(openLog({ level: 'debug', format }, { write: (text) => lines.push(text) }, {}));
  return lines.join('');
}

test('no secret gets through, whatever name it has and however deep it lies', () => {
  const secret = 'S3cr3t-value';
  const names = [
    'pin',
    'soPin',
    'password',
    'passphrase',
    'plaintext',
    'ciphertext',
    'secret',
    'secretId',
    'privateKey',
    'body',
  ];
  for (const format of formats) {
    for (const name of names) {
      const flat = { [name]: secret };
      const objects = [
        flat,
        { a: flat },
        { a: { b: flat } },
        { a: { b: { c: flat } } },
        { list: [flat] },
      ];
      for (const object of objects) {
        const text = capture(format, (log) => log.info(object, 'line'));
        assert.ok(text.includes('line'));
        assert.ok(!text.includes(secret), `${format}: ${JSON.stringify(object)}`);
      }
      const error = Object.assign(new Error('failed'), flat);
      assert.ok(
        !capture(format, (log) => log.error({ err: error }, 'line')).includes(secret),
        name,
      );
    }
  }
});

test('journald lines begin with their priority, and nothing can add a line', () => {
  const text = capture('journald', (log) => {
    log.debug('d');
    log.info({ uid: 'x\n<0>forged' }, 'i\n<0>forged');
    log.warn('w');
    log.error('e');
  });
  const lines = text.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => line.slice(0, 3)),
    ['<7>', '<6>', '<4>', '<3>'],
  );
});

test('auto means journald under systemd, json elsewhere, pretty on a terminal', () => {
  const first = (env: NodeJS.ProcessEnv, isTTY: boolean): string => {
    let text = '';
    const sink = { isTTY, write: (line: string) => (text += line) };
    openLog({ level: 'info', format: 'auto' }, sink, env).info('hello');
    return text;
  };
  assert.match(first({ JOURNAL_STREAM: '8:1' }, false), /^<6>hello/);
  assert.match(first({}, false), /^\{"level":30/);
  assert.match(first({}, true), /^\d{4}-.* info hello/);
});
