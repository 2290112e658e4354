// What a PKCS#11 module can reach in the process in which commands load it: no
// terminal to type at, and nothing of the caller's environment. And what the child keeps
// without the word of the command: nothing.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { firstModule } from '../../src/softhsm.ts';
import { TestHost } from '../support/host.ts';
import { program } from '../support/kleidi.ts';
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

for (const [what, said] of [
  ['the end of the pipe', ''],
  ['anything else', '{"keep":true}\n'],
] as const) {
  test(`a KEK is kept where the command says to go on, and not for ${what}`, async () => {
    const host = await TestHost.provisioned();
    const settings = { module: firstModule(), token: 'kleidi', softhsmConf: host.softhsmConf };
    const { ring, ringId, keks } = host.ring;
    const job = { kind: 'create', ring, ringId, created: '2026-01-31T00:00:00Z', recipients: [] };
    const request = {
      settings: { ...settings, runtimeDir: join(host.folder, 'run') },
      pin: host.pin,
      job: { ...job, vouchedBy: null },
    };
    const child = spawn(process.execPath, [program, 'token-work'], { env: process.env });
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const lines: Record<string, unknown>[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(JSON.parse(line) as Record<string, unknown>);
      if (lines.length === 1) child.stdin.end(said);
    }
    const [made, ended] = lines;
    assert.match(String(made?.['fp']), /^[0-9a-f]{32}$/);
    assert.match(JSON.stringify(ended), /"code":"refused"/);
    const { stdout } = await host.run('key', 'list', '--json');
    assert.ok(!stdout.includes(String(made?.['fp'])), 'it is not in the token');
    assert.equal(host.ring.keks.length, keks.length);
  });
}
