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
    define: { KLEIDI_DESCRIPTORS: JSON.stringify(descriptors.toJSON()) },
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
