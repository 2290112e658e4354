// A PIN bound to a TPM on a whole machine: its own kernel, /dev/tpmrm0, and a disk that is copied.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type Bound,
  closed,
  credential,
  doctorOf,
  installBound,
  testLocks,
  testNewBoard,
  testRestarts,
} from '../support/boundpin.ts';
import { builtPackage } from '../support/packages.ts';
import { missingTool } from '../support/skip.ts';
import { onHosts } from '../support/systemhost.ts';
import { testKekIsGone, testTpmKek } from '../support/tpmkeksteps.ts';
import { VirtualMachine } from '../support/virtualmachine.ts';

const skip = missingTool('qemu-system-x86_64', 'swtpm', 'mke2fs', 'ssh');

async function check(): Promise<void> {
  const machine = await VirtualMachine.boot('bookworm');
  machine.sh('test -c /dev/tpmrm0');
  machine.sh('cat > /root/kleidi.deb', { input: readFileSync(builtPackage('deb')) });
  const bound: Bound = {
    name: 'vm',
    machine,
    packageFile: '/root/kleidi.deb',
    withTpm: '',
    tcti: 'device:/dev/tpmrm0',
    kekTcti: 'device:/dev/tpmrm0',
    client: () => machine.client(),
    replaceTpm: async () => {
      await machine.stop();
      machine.replaceTpm();
      await machine.start();
    },
  };
  const opens = await installBound(bound);
  testRestarts(bound, opens);
  testLocks(bound, opens);
  testTpmKek(bound);

  test('vm: a copy of the whole disk in another machine opens nothing', async () => {
    await machine.stop();
    const other = await machine.copyOfDisk();
    await other.until(`journalctl -u kleidi -b -o cat | grep -q "${closed.source}"`);
    assert.equal(other.try('kleidi status').exitCode, 1);
    const decrypt = `systemd-creds decrypt --name=pin ${credential} - > /dev/null`;
    assert.notEqual(other.try(decrypt).exitCode, 0);
    assert.match(doctorOf({ ...bound, machine: other }), closed);
    await other.stop();
    await machine.start();
    await opens();
  });

  testNewBoard(bound, opens);
  testKekIsGone(bound);
}

if (skip === false) await onHosts(check);
else test('a virtual machine', { skip }, () => undefined);
