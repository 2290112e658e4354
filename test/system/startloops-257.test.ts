// As startloops-252.test.ts, on systemd 257.
import { startFaults, testStarts } from '../support/startfaults.ts';
import { onHosts } from '../support/systemhost.ts';

await onHosts(() => testStarts('trixie', startFaults));
