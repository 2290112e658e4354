// The program in one file: everything but the native add-ons, which stay
// outside, and the .proto files, which go in already parsed. The same source
// gives the same bytes, whatever folder it is built in.
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import protobuf from 'protobufjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Packages that cannot be bundled, because they load native code. */
export const external: readonly string[] = ['pkcs11js', 'sd-notify', 'unix-dgram'];

const protos = ['proto/kms/v2/api.proto', 'proto/kleidi/v1/state.proto'];

/**
 * Writes the executable bundle.
 * @param version what it says it is; package.json's where undefined
 * @returns paths of the files it was made from, relative to the project
 */
export async function bundleProgram(outfile: string, version?: string): Promise<string[]> {
  const descriptors = new protobuf.Root().loadSync(protos.map((file) => join(root, file)));
  const thread = await tokenThread();
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts'],
    outfile,
    bundle: true,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    external: [...external],
    define: {
      KLEIDI_DESCRIPTORS: JSON.stringify(descriptors.toJSON()),
      KLEIDI_TOKEN_THREAD: JSON.stringify(thread),
    },
    // CommonJS packages inside call require; ESM output has none of its own.
    banner: {
      js: "import { createRequire as kleidiCreateRequire } from 'node:module';\nconst require = kleidiCreateRequire(import.meta.url);",
    },
    plugins: version === undefined ? [] : [versionPlugin(version)],
    legalComments: 'linked',
    logLevel: 'warning',
  });
  chmodSync(outfile, 0o755);
  return Object.keys(metafile.inputs);
}

/**
 * The source of a token thread, as text inside the program: the whole program would
 * take 30 MB and 0.1 s in each thread. Such a text is a script without a place of its
 * own, so it is told where the program is.
 */
async function tokenThread(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/providers/pkcs11/threadentry.ts'],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    minify: true,
    external: [...external],
    banner: {
      js: "const kleidiProgram = process.getBuiltinModule('node:worker_threads').workerData.program; require = process.getBuiltinModule('node:module').createRequire(kleidiProgram);",
    },
    logLevel: 'warning',
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error('esbuild gave no token thread');
  return output.text;
}

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
