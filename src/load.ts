#!/usr/bin/env node
// Loads the program that stands beside this file, with the code that V8 has made of
// it already (packaging/compile.mjs): compiling it takes longer than all else that a
// start does. Where those two are not of one build, or this Node is another one, the
// program is compiled anew. For `serve` a token thread is begun before all that: it takes longer
// to begin than the program to load. Without import and export, this is both kinds of module:
// Node decides by a package.json, and an installed program has none.
const { hash } = process.getBuiltinModule('node:crypto');
const { readFileSync, realpathSync } = process.getBuiltinModule('node:fs');
const { createRequire } = process.getBuiltinModule('node:module');
const { dirname, join } = process.getBuiltinModule('node:path');
const { pathToFileURL } = process.getBuiltinModule('node:url');
const { Script } = process.getBuiltinModule('node:vm');

import type { Worker } from 'node:worker_threads';
import { textOptions } from './threadoptions.ts';

/** What a token thread runs (packaging/program.ts). */
declare const KLEIDI_TOKEN_THREAD: string;

type Wrapper = (exports: object, require: NodeJS.Require, url: string) => void;

interface Program {
  readonly main: (args: readonly string[], worker?: Worker) => Promise<number>;
}

/** V8 itself compares the length of the source, its own version and its flags alone. */
const digestBytes = 32;

function compiledFrom(source: Buffer): Buffer | undefined {
  try {
    const cache = readFileSync(join(folder, 'program.cache'));
    const isOurs = cache.subarray(0, digestBytes).equals(hash('sha256', source, 'buffer'));
    return isOurs ? cache.subarray(digestBytes) : undefined;
  } catch {
    return undefined;
  }
}

/** It keeps no process: who serves holds it. */
function beginThread(): Worker {
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  const worker = new Worker(KLEIDI_TOKEN_THREAD, textOptions(url));
  worker.unref();
  return worker;
}

const folder = dirname(realpathSync(process.argv[1] ?? ''));
const filename = join(folder, 'program.js');
const url = pathToFileURL(filename).href;
const worker = process.argv[2] === 'serve' ? beginThread() : undefined;
const source = readFileSync(filename);
const cachedData = compiledFrom(source);
// The build leaves no character beyond ASCII.
const script = new Script(source.toString('latin1'), { filename, cachedData });
const program = {} as Program;
(script.runInThisContext() as Wrapper)(program, createRequire(filename), url);
// As Node has it for a main module that waits for what never comes.
process.exitCode = 13;
program.main(process.argv.slice(2), worker).then((exitCode) => {
  process.exitCode = exitCode;
});
