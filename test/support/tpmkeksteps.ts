// A KEK that a TPM keeps, on a machine with the package installed: made, served from the sandbox
// of the unit through restarts, a kill and a reboot, and gone with its board.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bound, sealOnce, throughRestarts } from './boundpin.ts';

const dropIn = '/etc/systemd/system/kleidi.service.d/tpm.conf';
const config = '/etc/kleidi/kleidi.yaml';
const create = 'kleidi tpm create --single-master --accept-no-recovery';

/** @param extra lines of a drop-in for a machine whose TPM is no device */
export function testTpmKek(bound: Bound, extra = ''): void {
  const { name, machine, withTpm } = bound;

  test(`${name}: nothing is made before the unit may use the TPM`, () => {
    machine.write(config, `${machine.read(config)}\ntpm: { tcti: "${bound.kekTcti}" }\n`);
    const { exitCode, stderr } = machine.try(create);
    assert.equal(exitCode, 1);
    assert.match(stderr, /may not use the TPM.*nothing was changed\n.*drop-ins\/tpm.conf/);
    machine.sh('test ! -e /var/lib/kleidi/tpm');
  });

  test(`${name}: a KEK in the TPM seals and opens, through restart, kill and reboot`, async () => {
    machine.sh(`install -Dm644 /usr/lib/kleidi/drop-ins/tpm.conf ${dropIn}`);
    if (extra !== '') machine.write(`${dropIn.slice(0, -5)}-test.conf`, `[Service]\n${extra}\n`);
    machine.sh('systemctl daemon-reload');
    assert.match(
      machine.sh(withTpm + create),
      /^KEK [0-9a-f]{32} is in the TPM of this machine, staged$/m,
    );
    await machine.until('kleidi doctor --only tpm');
    machine.sh(`${withTpm}kleidi key promote ${keksOf(bound, 'staged')}`);
    const opens = await sealOnce(bound, 3);
    await opens();
    await throughRestarts(machine, opens);
    const [, exposure = ''] =
      /Overall exposure level for kleidi.service: ([0-9.]+)/.exec(
        machine.sh('systemd-analyze security --no-pager kleidi.service'),
      ) ?? [];
    assert.ok(Number(exposure) <= 0.4 && exposure !== '', `exposure ${exposure}`);
  });

  test(`${name}: the way back: the KEK of SoftHSM is written with again`, async () => {
    machine.sh(`${withTpm}kleidi key promote ${keksOf(bound, 'read')}`);
    await machine.until('kleidi status');
    assert.match(machine.sh(`${withTpm}kleidi key list`), / read +TPM/);
  });
}

/** After a new board: what the TPM kept is lost, and nothing else. */
export function testKekIsGone({ name, machine }: Bound): void {
  test(`${name}: with its board the KEK is gone, which doctor says; the others serve`, () => {
    const { exitCode, stdout } = machine.try('kleidi doctor --only tpm');
    assert.equal(exitCode, 1);
    assert.match(stdout, /FAIL .*\n.*on a new board/);
    machine.sh('kleidi status');
  });
}

function keksOf({ machine }: Bound, state: 'read' | 'staged'): string {
  const { keks } = JSON.parse(machine.sh('kleidi ring show --json')) as {
    keks: readonly { readonly fp: string; readonly state: string }[];
  };
  return keks.find((kek) => kek.state === state)?.fp ?? assert.fail(`no KEK is ${state}`);
}
