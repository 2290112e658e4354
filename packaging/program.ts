// The program in one file: everything but the native add-ons, which stay
// outside, and the .proto files, which go in already parsed. Beside it the code that
// V8 makes of it, and what loads both. The same source gives the same bytes, whatever
// folder it is built in.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import protobuf from 'protobufjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Packages that cannot be bundled, because they load native code. */
export const external: readonly string[] = ['pkcs11js', 'sd-notify', 'unix-dgram'];

const protos = ['proto/kms/v2/api.proto', 'proto/kleidi/v1/state.proto'];

/** What the program consists of: the file that is run, and what that loads. */
export const programFiles = ['kleidi.js', 'program.js', 'program.cache'] as const;

/**
 * Writes the program's files.
 * @param folder where there is room for them
 * @param node the runtime that will run it
 * @param version what it says it is; package.json's where undefined
 * @returns paths of the files it was made from, relative to the project
 */
export async function bundleProgram(
  folder: string,
  node: string,
  version?: string,
): Promise<string[]> {
  const [loader, program, cache] = programFiles.map((name) => join(folder, name));
  if (loader === undefined || program === undefined || cache === undefined) return [];
  const thread = { KLEIDI_TOKEN_THREAD: JSON.stringify(await tokenThread()) };
  const { metafile } = await build({
    ...shared,
    entryPoints: ['src/main.ts'],
    outfile: program,
    metafile: true,
    format: 'cjs',
    minifyWhitespace: true,
    minifySyntax: true,
    // A stack trace names a line.
    lineLimit: 120,
    // Without the parser.
    alias: { protobufjs: 'protobufjs/light.js' },
    define: {
      KLEIDI_DESCRIPTORS: JSON.stringify(parsedProtos()),
      ...thread,
      'import.meta.url': 'kleidiUrl',
    },
    banner: { js: '(function (exports, require, kleidiUrl) { const module = { exports };' },
    footer: { js: 'Object.assign(exports, module.exports); })' },
    plugins: [protoLoaderLeftOut, ...(version === undefined ? [] : [versionPlugin(version)])],
    legalComments: 'linked',
  });
  writeFileSync(program, inAscii(readFileSync(program, 'utf8')));
  const loading = { ...shared, entryPoints: ['src/load.ts'], define: thread };
  await build({ ...loading, outfile: loader, format: 'esm' });
  chmodSync(loader, 0o755);
  compile(node, program, cache);
  return Object.keys(metafile.inputs);
}

const shared: BuildOptions & { platform: 'node' } = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  external: [...external],
  logLevel: 'warning',
};

/** Read as one byte for each character. esbuild leaves the others in regular expressions. */
function inAscii(text: string): string {
  return text.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function parsedProtos(): object {
  return new protobuf.Root().loadSync(protos.map((file) => join(root, file))).toJSON();
}

function compile(node: string, program: string, cache: string): void {
  const maker = join(root, 'packaging/compile.mjs');
  execFileSync(node, ['--random-seed=1', maker, program, cache], {
    cwd: dirname(program),
    env: {},
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/**
 * The source of a token thread, as text inside the program: the whole program would
 * take 30 MB and 0.1 s in each thread. Such a text is a script without a place of its
 * own, so it is told where the program is.
 */
async function tokenThread(): Promise<string> {
  const { outputFiles } = await build({
    ...shared,
    entryPoints: ['src/providers/pkcs11/threadentry.ts'],
    write: false,
    format: 'cjs',
    minify: true,
    banner: {
      js: "const kleidiProgram = process.getBuiltinModule('node:worker_threads').workerData.program; require = process.getBuiltinModule('node:module').createRequire(kleidiProgram);",
    },
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error('esbuild gave no token thread');
  return output.text;
}

/** grpc-js loads it for two services that kleidi does not have: channelz, ORCA. */
const protoLoaderLeftOut: Plugin = {
  name: 'proto-loader',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@grpc\/proto-loader$/ }, ({ path }) => ({ path, namespace: 'left-out' }));
    onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: '' }));
  },
};

/** For a package of another version than the tree says: a release candidate, a test. */
function versionPlugin(version: string): Plugin {
  return {
    name: 'version',
    setup({ onLoad }) {
      onLoad({ filter: /\/package\.json$/ }, ({ path }) => {
        if (path !== join(root, 'package.json')) return undefined;
        const contents: object = JSON.parse(readFileSync(path, 'utf8'));
        return { contents: JSON.stringify({ ...contents, version }), loader: 'json' };
      });
    },
  };
}
