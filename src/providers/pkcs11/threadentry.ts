// Where a token thread begins; thread.ts starts it.
import { parentPort } from 'node:worker_threads';
import { serveThread } from './threadwork.ts';

if (parentPort !== null) serveThread(parentPort);
