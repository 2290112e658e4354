// npm run build: leaves the runnable program at dist/kleidi.js.
import { join } from 'node:path';
import { bundleProgram, root } from './program.ts';

await bundleProgram(join(root, 'dist/kleidi.js'));
