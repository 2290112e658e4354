// An attack on the redaction: secrets under every name, in every shape of object.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LogFormat, openLog, secretFields } from '../../src/log.ts';

const formats: readonly LogFormat[] = ['json', 'journald', 'pretty'];

function capture(format: LogFormat, write: (log: ReturnType<typeof openLog>) => void): string {
  const lines: string[] = [];
  write(openLog({ level: 'debug', format }, { write: (text) => lines.push(text) }, {}));
  return lines.join('');
}

function circular(object: object): object {
  const whole: Record<string, unknown> = { ...object };
  whole['list'] = [{ whole }];
  return whole;
}

test('no secret gets through, whatever name it has and however deep it lies', () => {
  const secret = 'S3cr3t-value';
  const names = [
    'pin',
    'soPin',
    'oldPin',
    'newPin',
    'password',
    'passphrase',
    'plaintext',
    'ciphertext',
    'secret',
    'secretId',
    'token_secret',
    'key',
    'privateKey',
    'body',
  ];
  assert.deepEqual([...secretFields], names);
  for (const format of formats) {
    for (const name of names) {
      const flat = { [name]: secret };
      const objects = [
        flat,
        { a: flat },
        { a: { b: flat } },
        { a: { b: { c: flat } } },
        { a: { b: { c: { d: { e: flat } } } } },
        { list: [flat] },
        { a: { list: [[{ b: { c: flat } }]] } },
        [flat],
        { [name]: [secret] },
        { [name]: { value: secret } },
        { [name.toUpperCase()]: secret },
        { a: { toJSON: () => flat } },
        circular(flat),
        Object.assign(new Error('failed'), flat),
        { error: Object.assign(new Error('failed'), { details: flat }) },
        { err: new Error('failed', { cause: Object.assign(new Error('inner'), flat) }) },
        { err: new AggregateError([Object.assign(new Error('inner'), flat)], 'failed') },
      ];
      for (const object of objects) {
        const text = capture(format, (log) => log.info(object, 'line'));
        assert.ok(text.includes('line'));
        assert.ok(!text.includes(secret), `${format}, ${name}: ${text}`);
      }
      const error = Object.assign(new Error('failed'), flat);
      assert.ok(
        !capture(format, (log) => log.error({ err: error }, 'line')).includes(secret),
        name,
      );
    }
  }
});
