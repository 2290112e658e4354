// Commands that run on several hosts at once, and take their time, while this thread goes on.
import assert from 'node:assert/strict';
import type { SystemHost } from './systemhost.ts';

const endTimeoutMs = 330_000;

/**
 * Each in a unit of its host; all must end well.
 * @param name of the unit, new on each host
 * @returns what each has said, on both of its outputs
 */
export async function runOnAll(
  hosts: readonly SystemHost[],
  name: string,
  commandOf: (index: number) => string,
): Promise<string[]> {
  const commands = hosts.map((_, index) => commandOf(index));
  for (const [index, host] of hosts.entries())
    host.sh(`systemd-run --unit=${name} --property=RemainAfterExit=yes ${commands[index]}`);
  const said: string[] = [];
  for (const host of hosts) {
    const show = (property: string): string => `systemctl show -p ${property} --value ${name}`;
    await host.until(`${show('SubState')} | grep -qE '^(exited|failed)$'`, endTimeoutMs);
    const text = host.sh(`journalctl --sync; journalctl -u ${name} --output=cat`);
    assert.equal(host.sh(show('Result')), 'success', text);
    said.push(text);
  }
  return said;
}
