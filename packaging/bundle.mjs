// Makes dist/kleidi.js: the whole program in one executable file. The three
// native add-ons stay outside; the .proto files go in, already parsed.
import { chmodSync } from 'node:fs';
import { build } from 'esbuild';
import protobuf from 'protobufjs';

const root = new URL('..', import.meta.url).pathname;
const protos = ['proto/kms/v2/api.proto', 'proto/kleidi/v1/state.proto'];
const descriptors = new protobuf.Root().loadSync(protos.map((file) => root + file));

await build({
  entryPoints: [`${root}src/main.ts`],
  outfile: `${root}dist/kleidi.js`,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  external: ['pkcs11js', 'sd-notify', 'unix-dgram'],
  define: { KLEIDI_DESCRIPTORS: JSON.stringify(descriptors.toJSON()) },
  // CommonJS packages inside call require; ESM output has none of its own.
  banner: {
    js: "import { createRequire as kleidiCreateRequire } from 'node:module';\nconst require = kleidiCreateRequire(import.meta.url);",
  },
  legalComments: 'linked',
  logLevel: 'warning',
});
chmodSync(`${root}dist/kleidi.js`, 0o755);
