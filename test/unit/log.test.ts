// The log: its three forms, a line each.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LogFormat, openLines } from '../../src/log.ts';

const formats: readonly LogFormat[] = ['json', 'journald', 'pretty'];

function capture(format: LogFormat, write: (log: ReturnType<typeof openLines>) => void): string {
  const lines: string[] = [];
  write(openLines({ level: 'debug', format }, { write: (text) => lines.push(text) }, {}));
  return lines.join('');
}

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
    openLines({ level: 'info', format: 'auto' }, sink, env).info('hello');
    return text;
  };
  assert.match(first({ JOURNAL_STREAM: '8:1' }, false), /^<6>hello/);
  assert.match(first({}, false), /^\{"level":30/);
  assert.match(first({}, true), /^\d{4}-.* info hello/);
});

test('what is no secret is logged as it is', () => {
  const fields = { event: 'serving', code: 'refused', keyId: 'k1.a.1.ff', n: 5, keks: 2 };
  const { level, time, ...logged } = JSON.parse(
    capture('json', (log) => log.info({ ...fields, deep: { list: [fields] } }, 'message')),
  ) as Record<string, unknown>;
  assert.equal(level, 30);
  assert.ok(Math.abs(Number(time) - Date.now()) < 60_000);
  assert.deepEqual(logged, { ...fields, deep: { list: [fields] }, msg: 'message' });
  const text = capture('journald', (log) => log.info(fields, 'message'));
  assert.equal(text, '<6>message event=serving code=refused keyId=k1.a.1.ff n=5 keks=2\n');
});

test('one call is one line, and no text steers a terminal', () => {
  const breaks = [
    '\n',
    '\r',
    '\r\n',
    '\v',
    '\f',
    '\x85',
    '\u2028',
    '\u2029',
    '\x1b[2J',
    '\0',
    '\x9b1m',
  ];
  for (const format of formats) {
    for (const put of breaks) {
      const evil = `a${put}<0>forged`;
      const text = capture(format, (log) => {
        log.warn({ uid: evil, [evil]: 1, deep: { [evil]: evil }, list: [evil] }, evil);
        log.error({ err: new Error(evil) });
      });
      const lines = text.split('\n');
      assert.equal(lines.length, 3, `${format} ${JSON.stringify(put)}`);
      assert.equal(lines.pop(), '');
      // JSON escapes what moves a cursor; U+2028 is an ordinary character there.
      if (format === 'json') for (const line of lines) JSON.parse(line);
      else assert.doesNotMatch(lines.join(''), /[\p{Cc}\u2028\u2029]/u);
    }
  }
});

test('fields that are called level, time or msg neither forge nor break a line', () => {
  const starts = { json: /^\{"level":40,/, journald: /^<4>real/, pretty: / warn real/ } as const;
  for (const format of ['json', 'journald', 'pretty'] as const) {
    const text = capture(format, (log) => log.warn({ level: 'x\n<0>', time: 'never' }, 'real'));
    assert.match(text, starts[format]);
    assert.ok(!text.includes('never'));
  }
});

test('lines below the level are not written', () => {
  for (const format of formats) {
    let text = '';
    const sink = { write: (line: string) => (text += line) };
    const log = openLines({ level: 'warn', format }, sink, {});
    log.info('quiet');
    log.debug('quiet');
    assert.equal(text, '');
    log.warn('loud');
    assert.match(text, /loud/);
  }
});
