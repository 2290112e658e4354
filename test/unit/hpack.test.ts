// HPACK by the examples of RFC 7541, Appendix C, and what is sent by what is read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Breach, errorCode } from '../../src/http2/frame.ts';
import { HpackDecoder } from '../../src/http2/hpackdecoder.ts';
import { HpackEncoder } from '../../src/http2/hpackencoder.ts';
import { huffmanDecoded } from '../../src/http2/huffman.ts';
import { type Field, staticTable } from '../../src/http2/statictable.ts';

function decoded(decoder: HpackDecoder, hex: string): string[] {
  const fields: string[] = [];
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  decoder.decode(block, ({ name, value }) => fields.push(`${name}: ${value}`));
  return fields;
}

const get = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
const secure = [':method: GET', ':scheme: https', ':path: /index.html'];
const custom = [...secure, ':authority: www.example.com', 'custom-key: custom-value'];

/** Requests one after the other on one connection. */
const examples = [
  {
    name: 'C.2.1 to C.2.4, literals with and without index',
    blocks: [
      [
        '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
        ['custom-key: custom-header'],
      ],
      ['040c 2f73 616d 706c 652f 7061 7468', [':path: /sample/path']],
      ['1008 7061 7373 776f 7264 0673 6563 7265 74', ['password: secret']],
      ['82', [':method: GET']],
    ],
  },
  {
    name: 'C.3, without Huffman',
    blocks: [
      ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', get],
      ['8286 84be 5808 6e6f 2d63 6163 6865', [...get, 'cache-control: no-cache']],
      ['8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65', custom],
    ],
  },
  {
    name: 'C.4, with Huffman',
    blocks: [
      ['8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', get],
      ['8286 84be 5886 a8eb 1064 9cbf', [...get, 'cache-control: no-cache']],
      ['8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf', custom],
    ],
  },
  {
    name: 'C.6, with Huffman in a table of 256 bytes, which evicts',
    blocks: [
      [
        `3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`.replace(/\s+/g, ''),
        [
          ':status: 302',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
      ],
      [
        '4883 640e ffc1 c0bf',
        [
          ':status: 307',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
      ],
    ],
  },
] as const;

for (const { name, blocks } of examples) {
  test(`RFC 7541, ${name}`, () => {
    const decoder = new HpackDecoder();
    for (const [hex, fields] of blocks) assert.deepEqual(decoded(decoder, hex), fields);
  });
}

test('the static table is that of RFC 7541', () => {
  assert.equal(staticTable.length, 61);
  const at = (index: number): string => Object.values(staticTable[index - 1] ?? {}).join('=');
  assert.deepEqual([1, 2, 8, 16, 31, 61].map(at), [
    ':authority=',
    ':method=GET',
    ':status=200',
    'accept-encoding=gzip, deflate',
    'content-type=',
    'www-authenticate=',
  ]);
});

const broken = [
  { name: 'index 0', hex: '80' },
  { name: 'an index beyond the table', hex: 'be' },
  { name: 'a string that is longer than the block', hex: '4005 61' },
  { name: 'no value', hex: '4001 61' },
  { name: 'an integer without end', hex: 'ffff ffff ffff ffff ff' },
  { name: 'a table larger than was offered', hex: '3fe2 1f' },
  { name: 'a size amid fields', hex: '8220' },
  { name: 'the symbol for the end of a string', hex: '0084 ffff ffff 0161' },
  { name: 'padding of 8 bits', hex: '0082 1fff 0161' },
  { name: 'padding with a zero', hex: '0081 1e 0161' },
] as const;

for (const { name, hex } of broken) {
  test(`a block breaks the connection by ${name}`, () => {
    assert.throws(
      () => decoded(new HpackDecoder(), hex),
      (thrown) => thrown instanceof Breach && thrown.code === errorCode.compressionError,
    );
  });
}

test('Huffman reads back each octet that has the longest or the shortest code', () => {
  // '0' is 00000; 22 is 30 bits long (Appendix B), then two bits of padding.
  assert.equal(huffmanDecoded(Buffer.from([0b00000_111])), '0');
  assert.equal(huffmanDecoded(Buffer.from('fffffffb', 'hex')), '\x16');
});

const contentType: Field = { name: 'content-type', value: 'application/grpc+proto' };
const ok: Field = { name: 'grpc-status', value: '0' };
const status: Field = { name: ':status', value: '200' };
const long: Field = { name: 'grpc-message', value: 'x'.repeat(300) };

test('what is sent is read back, and what is repeated takes an octet a field', () => {
  const [encoder, decoder] = [new HpackEncoder([contentType, ok]), new HpackDecoder()];
  const lengths = [[status, contentType], [ok], [status, long, contentType], [ok], [long]].map(
    (fields) => {
      const block = Buffer.from(encoder.encode(fields));
      const read: Field[] = [];
      decoder.decode(block, (field) => read.push({ ...field }));
      assert.deepEqual(read, fields);
      return block.length;
    },
  );
  assert.ok((lengths[0] ?? 0) > 30);
  assert.equal(lengths[3], 1);
});

test('to a client without a table all is sent whole, and its table is emptied first', () => {
  const encoder = new HpackEncoder([ok]);
  encoder.encode([ok]);
  encoder.limitTable(0);
  const literal = Buffer.from([0, 11, ...Buffer.from('grpc-status'), 1, ...Buffer.from('0')]);
  assert.deepEqual(
    Buffer.from(encoder.encode([ok])),
    Buffer.concat([Buffer.from([0x20]), literal]),
  );
  assert.deepEqual(Buffer.from(encoder.encode([ok])), literal);
});
