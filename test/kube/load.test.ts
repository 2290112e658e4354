// Restarts and kills under 8 clients with kube-apiserver's own code: an orderly
// restart loses no call, kill -9 only calls in flight.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestHost } from '../support/host.ts';
import {
  describeLoad,
  type Line,
  Load,
  type LoadReport,
  lines,
  missingKubeClient,
} from '../support/kubeclient.ts';

const clients = 8;
const host = await TestHost.provisioned();
const daemon = await host.superviseServe();

async function restarts(line: Line, signal: NodeJS.Signals, times: number): Promise<LoadReport> {
  const load = await Load.start(host.socket, clients, { line });
  await sleep(500);
  for (let i = 0; i < times; i += 1) {
    const from = daemon.lines.length;
    daemon.signal(signal);
    await daemon.event('listening', from);
    await sleep(300);
  }
  return load.stop();
}

for (const line of lines) {
  const skip = missingKubeClient(line);

  test(`${line}: 5 orderly restarts under ${clients} clients lose no call`, { skip }, async (t) => {
    const report = await restarts(line, 'SIGTERM', 5);
    t.diagnostic(describeLoad(report));
    assert.equal(report.failed, 0, JSON.stringify(report.failures, null, 1));
    assert.equal(report.wrong, 0);
    assert.ok(report.good > 100);
  });

  test(`${line}: 5 times kill -9 loses only calls in flight`, { skip }, async (t) => {
    const report = await restarts(line, 'SIGKILL', 5);
    t.diagnostic(describeLoad(report));
    assert.ok(report.failed <= 5 * clients, JSON.stringify(report.failures, null, 1));
    assert.equal(report.wrong, 0);
    assert.ok(report.good > 100);
  });
}
