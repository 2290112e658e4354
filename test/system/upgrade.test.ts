// Upgrade and downgrade of both packages under load: eight clients seal and open
// without a pause, none is refused. grpc-js, their client, can itself lose the one
// request that it queues in the moment a GOAWAY arrives (as in daemon-restart):
// that many are allowed. Failures and the longest gap are printed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { bareHost, clientOf, packageFile } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 8);

interface Load {
  readonly calls: number;
  readonly failures: readonly string[];
  readonly longestGapMs: number;
}

/** Runs a command on the host while eight clients call; ends a second after it. */
async function underLoad(host: SystemHost, command: string): Promise<Load> {
  const failures: string[] = [];
  let calls = 0;
  let longestGapMs = 0;
  let last = performance.now();
  let running = true;
  async function client(): Promise<void> {
    const kms = clientOf(host);
    while (running) {
      try {
        const { ciphertext, keyId } = await kms.encrypt(seed);
        assert.deepEqual(await kms.decrypt(ciphertext, keyId), seed);
        calls += 2;
      } catch (error) {
        failures.push(String(error));
      }
      const now = performance.now();
      longestGapMs = Math.max(longestGapMs, now - last);
      last = now;
    }
    kms.close();
  }
  const clients = Array.from({ length: 8 }, client);
  const child = host.spawn(command);
  child.stdout?.resume();
  const said: Buffer[] = [];
  child.stderr?.on('data', (part: Buffer) => said.push(part));
  const [exitCode] = await once(child, 'exit');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  running = false;
  await Promise.all(clients);
  assert.equal(exitCode, 0, Buffer.concat(said).toString());
  return { calls, failures, longestGapMs };
}

await onHosts(async () => {
  for (const [kind, first, install] of [
    ['deb', 'dpkg -i', 'dpkg -i'],
    ['rpm', 'rpm -i --nodeps', 'rpm -U --oldpackage --nodeps'],
  ] as const) {
    const host = await bareHost();
    const [older, newer] = [packageFile(kind), packageFile(kind, '99.1.0')];
    host.sh(`${first} ${older}`);
    const facts = 'cat /var/lib/kleidi/ring.json; stat -c %i /run/kleidi/kms.sock';
    const before = host.sh(facts);

    for (const [name, file] of [
      ['an upgrade', newer],
      ['a downgrade', older],
    ] as const) {
      test(`${kind}: ${name} under load refuses no client, and keeps socket and keys`, async (t) => {
        const starts = 'systemctl show -p NRestarts -p MainPID --value kleidi';
        const earlier = host.sh(starts);
        const { calls, failures, longestGapMs } = await underLoad(host, `${install} ${file}`);
        t.diagnostic(
          `${calls} calls, ${failures.length} lost by the client, longest gap ${longestGapMs.toFixed(0)} ms`,
        );
        assert.deepEqual(
          failures.filter((each) => !each.includes('RST_STREAM with code 0')),
          [],
        );
        assert.ok(failures.length <= 8, failures.join('\n'));
        assert.ok(calls > 100, `only ${calls} calls`);
        assert.notEqual(host.sh(starts), earlier, 'the new program runs');
        assert.equal(host.sh(facts), before);
        const version = host.sh('kleidi version --json');
        assert.equal(/99\.1\.0/.test(version), file === newer, version);
      });
    }
  }
});
