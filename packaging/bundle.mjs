// npm run build: leaves the runnable program at dist/kleidi.js, and what is made
// from it: dist/man/ and dist/kleidi.bash-completion.
import { join } from 'node:path';
import { writeDocuments } from './documents.ts';
import { bundleProgram, root } from './program.ts';

const dist = join(root, 'dist');
await bundleProgram(dist, process.execPath);
writeDocuments(join(dist, 'kleidi.js'), dist);
