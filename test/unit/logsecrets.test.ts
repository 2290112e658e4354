// An attack on the redaction through the one way that the daemon logs by, an event:
// secrets under every name, in every shape of object, given for a field by mistake.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { EventFields } from '../../src/events.ts';
import { eventLog, type Log, openLines, secretFields } from '../../src/log.ts';
import { temporaryFolder } from '../support/folder.ts';
import { JournalReceiver } from '../support/journald.ts';

/** 'native' is the journal's own protocol, over a real datagram socket. */
const formats = ['json', 'journald', 'pretty', 'native'] as const;
const journald = new JournalReceiver(temporaryFolder());
after(() => journald.close());

async function capture(
  format: (typeof formats)[number],
  write: (log: Log) => void,
): Promise<string> {
  const lines: string[] = [];
  const sink = { write: (text: string) => lines.push(text) };
  const isNative = format === 'native';
  const settings = { level: 'debug', format: isNative ? 'journald' : format } as const;
  write(eventLog(openLines(settings, sink, {}, isNative ? journald.path : undefined)));
  while (lines.length + journald.entries.length === 0) await turn();
  assert.equal(lines.length === 0, format === 'native');
  return lines.join('') + JSON.stringify(journald.entries.splice(0));
}

function circular(object: object): object {
  const whole: Record<string, unknown> = { ...object };
  whole['list'] = [{ whole }];
  return whole;
}

test('no secret gets through, whatever name it has and however deep it lies', async () => {
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
        for (const fields of [{ ...object }, { reason: object }, { fp: [object] }]) {
          // No caller can give this: the type of the fields is closed.
          const given = fields as unknown as EventFields;
          const text = await capture(format, (log) => log.event('serving', given, 'line'));
          assert.ok(text.includes('line'));
          assert.ok(!text.includes(secret), `${format}, ${name}: ${text}`);
        }
      }
    }
  }
});
