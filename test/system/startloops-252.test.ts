// No way in which systemd 252 fails to start the daemon loops: see startfaults.ts. A
// file for each generation, because these tests wait most of their time.
import {
  failingRequirement,
  hardlyAnyMemory,
  oneTask,
  startFaults,
  testStarts,
  tooLittleMemory,
} from '../support/startfaults.ts';
import { onHosts } from '../support/systemhost.ts';

const limits = [oneTask, tooLittleMemory, hardlyAnyMemory];
await onHosts(() => testStarts('bookworm', [...startFaults, ...limits, failingRequirement]));
