// kleidi token-thread: not a command but what a worker thread of the daemon runs,
// so that built program, source and package all have one entry.
import { parentPort } from 'node:worker_threads';
import { serveThread } from '../providers/pkcs11/threadwork.ts';
import { usage, type Verb } from './verb.ts';

export const tokenThread: Verb = {
  hidden: true,
  help: 'usage: kleidi token-thread\n\nUsed by the daemon, in a thread; see kleidi serve.',

  async run() {
    if (parentPort === null) throw usage('token-thread runs in a thread of the daemon only');
    serveThread(parentPort);
    return 0;
  },
};
