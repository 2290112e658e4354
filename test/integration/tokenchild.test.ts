// What a PKCS#11 module can reach in the process in which commands load it: no
// terminal to type at, and nothing of the caller's environment.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestHost } from '../support/host.ts';
import { missingTool } from '../support/skip.ts';
import { atTerminal } from '../support/terminal.ts';

const skip = missingTool('python3', 'cc');
const source = fileURLToPath(new URL('../support/probemodule.c', import.meta.url));

for (const command of [
  ['key', 'list'],
  ['key', 'create'],
  ['key', 'request'],
]) {
  test(`kleidi ${command.join(' ')}`, { skip }, async () => {
    const host = await TestHost.provisioned();
    const module = join(host.folder, 'hostile.so');
    const out = join(host.folder, 'probed');
    execFileSync('cc', ['-shared', '-fPIC', '-o', module, source]);
    host.configure({ pkcs11: { module, environment: ['KLEIDI_PROBE_OUT'] } });
    Object.assign(process.env, { KLEIDI_PROBE_OUT: out, KLEIDI_PROBE_SECRET: 'not for a module' });
    const { exitCode } = await atTerminal([], ...command, '--config', host.configPath);
    assert.equal(exitCode, 78, 'it is no module');
    const lines = readFileSync(out, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    assert.ok(lines.includes('terminal=none'), lines.join('\n'));
    assert.ok(lines.includes('leads=yes'), lines.join('\n'));
    const names = lines.flatMap((line) => /^env ([^=]+)=/.exec(line)?.[1] ?? []);
    const given = ['KLEIDI_PROBE_OUT', 'LC_ALL', 'PATH', 'SOFTHSM2_CONF'];
    assert.deepEqual([...new Set(names)].sort(), given);
  });
}
