// A disk that was copied from another machine: the daemon serves and says so, doctor
// fails, provision refuses. Also with a PIN that is not sealed to the host.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestHost } from '../support/host.ts';

test('a copy is noticed by daemon, doctor and provision', async () => {
  const host = await TestHost.provisioned();
  const record = join(host.folder, 'state/provision.json');
  const made = JSON.parse(readFileSync(record, 'utf8')) as object;
  const there = await host.serve();
  assert.doesNotMatch((await host.run('status')).stdout, /another machine/);
  await there.stop();
  writeFileSync(record, JSON.stringify({ ...made, machine: 'ab'.repeat(32) }));
  const daemon = await host.serve();
  assert.match((await host.run('status')).stdout, /made on another machine/);
  const doctor = await host.run('doctor', '--only', 'credential');
  assert.equal(doctor.exitCode, 1);
  assert.match(doctor.stdout, /made on another machine[\s\S]*old machine-id/);
  const again = await host.run('provision', '--ring', 'test');
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, /machine-id/);
  await daemon.stop();
});
