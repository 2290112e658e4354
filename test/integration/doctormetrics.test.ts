// kleidi doctor about the metrics: a real daemon, and a systemctl that says of
// kleidi-metrics.socket what a host would.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Finding, found } from '../support/diagnosis.ts';
import { TestHost } from '../support/host.ts';
import { get, metricsSocketOf } from '../support/metricsclient.ts';
import { skipReason } from '../support/skip.ts';

const skip = process.getuid?.() === 0 ? false : skipReason('needs root, as which doctor looks');
const host = await TestHost.provisioned();
const socket = metricsSocketOf(host);
const tools = join(host.folder, 'tools');
mkdirSync(tools);

/** As systemd-socket-proxyd does it. */
const proxy = createServer((client) => {
  const daemon = connect(socket);
  for (const [from, to] of [
    [client, daemon],
    [daemon, client],
  ] as const) {
    from.on('error', () => to.destroy());
    from.pipe(to);
  }
});
await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
after(() => proxy.close());
const address = proxy.address();
const listen = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;

async function diagnosed(unit: Readonly<Record<string, string>>): Promise<readonly Finding[]> {
  const lines = Object.entries(unit).map(([name, value]) => `${name}=${value}`);
  const path = join(tools, 'systemctl');
  writeFileSync(path, `#!/bin/sh\ncat <<'END'\n${lines.join('\n')}\nEND\n`);
  chmodSync(path, 0o755);
  const env = { PATH: `${tools}:${process.env['PATH']}` };
  const { stdout } = await host.runWith({ env }, 'doctor', '--only', 'metrics', '--json');
  return (JSON.parse(stdout) as { findings: Finding[] }).findings;
}

const enabled = {
  UnitFileState: 'enabled',
  ActiveState: 'active',
  Listen: `${listen} (Stream)`,
};

test('nothing is said of it where it is not enabled, or where there is no systemd', async () => {
  assert.deepEqual(await diagnosed({ UnitFileState: 'disabled', ActiveState: 'inactive' }), []);
  assert.deepEqual(await diagnosed({ UnitFileState: '', ActiveState: 'inactive' }), []);
  const env = { PATH: '/nonexistent' };
  const { stdout } = await host.runWith({ env }, 'doctor', '--only', 'metrics', '--json');
  assert.deepEqual((JSON.parse(stdout) as { findings: Finding[] }).findings, []);
});

test('enabled and not active', async () => {
  const findings = await diagnosed({ ...enabled, ActiveState: 'failed' });
  found(findings, 'warn', /is enabled and failed/, /^systemctl start kleidi-metrics\.socket/);
});

test('enabled: no socket of the daemon, nobody behind it, no proxy, and all as it should be', {
  skip,
  timeout: 60_000,
}, async () => {
  found(await diagnosed(enabled), 'warn', /no socket at .*metrics\.sock/, /restart kleidi$/);

  // Not ready is an answer too.
  const aside = `${host.ringPath}.aside`;
  renameSync(host.ringPath, aside);
  const daemon = await host.serve();
  while (
    await get(socket, '/readyz').then(
      () => false,
      () => true,
    )
  )
    await sleep(20);
  const [well, ...more] = await diagnosed(enabled);
  assert.deepEqual(more, []);
  assert.equal(well?.severity, 'ok');
  assert.equal(well.what, `metrics are answered at ${listen}`);

  assert.equal((await get(socket, '/readyz')).status, 503);
  renameSync(aside, host.ringPath);

  const nowhere = { ...enabled, Listen: '127.0.0.1:1 (Stream)' };
  found(await diagnosed(nowhere), 'warn', /nobody answers at 127\.0\.0\.1:1$/, /kleidi-metrics/);

  daemon.signal('SIGKILL');
  await daemon.ended;
  found(await diagnosed(enabled), 'warn', /nobody answers at .*metrics\.sock/, /status kleidi/);
});
