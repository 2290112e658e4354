// Compiles the SELinux policy module, which the rpm installs where SELinux is.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool } from './tool.ts';

/** The module format of RHEL 9 and older: newer hosts read it too. */
const format = '19';

/** @param source folder with kleidi.te and kleidi.fc */
export function buildPolicy(source: string): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'kleidi-policy-'));
  try {
    const [module, packed] = [join(folder, 'kleidi.mod'), join(folder, 'kleidi.pp')];
    runTool('checkmodule', ['-M', '-m', '-c', format, '-o', module, join(source, 'kleidi.te')]);
    runTool('semodule_package', ['-o', packed, '-m', module, '-f', join(source, 'kleidi.fc')]);
    return readFileSync(packed);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
