// A PIN that is bound to a TPM, on a machine that has one: through restarts, kills and reboots, a
// credential that was changed, a PCR that changes, and a new board. Each with what an operator sees.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KmsClient } from './client.ts';
import type { CommandResult } from './systemhost.ts';

export interface TpmMachine {
  /** As root. */
  sh(command: string, options?: { input?: string | Buffer }): string;
  try(command: string): CommandResult;
  until(command: string): Promise<void>;
  read(path: string): string;
  write(path: string, contents: string): void;
  journal(): string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface Bound {
  readonly name: string;
  readonly machine: TpmMachine;
  /** The package, there. */
  readonly packageFile: string;
  /** Before what commands of systemd and kleidi that use the TPM. */
  readonly withTpm: string;
  /** How tpm2-tools reach it. */
  readonly tcti: string;
  /** How kleidi's module reaches it. */
  readonly kekTcti: string;
  client(): Promise<KmsClient>;
  /** A TPM that knows nothing; the machine is on afterwards. */
  replaceTpm(): Promise<void>;
}

export const credential = '/etc/kleidi/credentials/pin.cred';
export const closed = /bound to the TPM of the machine that sealed it/;
const seed = Buffer.alloc(32, 7);
const passphrase = 'a recovery passphrase of more than enough words';
/** For debuggers, and so for tests: it can be set back. */
const pcr = 16;

export function doctorOf({ machine, withTpm }: Bound): string {
  return machine.try(`${withTpm}kleidi doctor --only credential`).stdout;
}

/**
 * Installs kleidi as on any host.
 * @returns what waits until it serves, and opens what was sealed at first
 */
export async function installBound({ machine, packageFile, withTpm, client }: Bound) {
  machine.sh(`${withTpm} dpkg -i ${packageFile}`);
  await machine.until('kleidi status');
  machine.sh(`cd /root && echo ${passphrase} | kleidi recovery create --out recovery --passphrase-fd 0 > sha256
    printf 'pkcs11: { pinBinding: host }\\n' > disk.yaml
    ${withTpm} kleidi provision --recovery recovery.pub=$(cat sha256)`);
  return sealOnce({ machine, client });
}

/** @param alg by which it must be sealed; else by any */
export async function sealOnce(
  { machine, client }: Pick<Bound, 'machine' | 'client'>,
  alg?: number,
): Promise<() => Promise<void>> {
  const first = await client();
  const { ciphertext, keyId } = await first.encrypt(seed);
  first.close();
  if (alg !== undefined) assert.equal(ciphertext.readUInt8(3), alg);
  return async (): Promise<void> => {
    await machine.until('kleidi status');
    const again = await client();
    assert.deepEqual(await again.decrypt(ciphertext, keyId), seed);
    again.close();
  };
}

export async function throughRestarts(
  machine: TpmMachine,
  opens: () => Promise<void>,
): Promise<void> {
  machine.sh('systemctl restart kleidi');
  await opens();
  machine.sh('systemctl kill -s KILL kleidi');
  await opens();
  await machine.stop();
  await machine.start();
  await opens();
}

/** The unit does not start, and says in the journal what it may be. */
async function refusesToStart(machine: TpmMachine): Promise<void> {
  machine.sh(
    'journalctl --rotate -q; journalctl --vacuum-time=1s -q; systemctl restart --no-block kleidi',
  );
  await machine.until(`journalctl -u kleidi -b -o cat | grep -q "${closed.source}"`);
  assert.match(machine.journal(), /lost TPM/);
}

export function testRestarts(bound: Bound, opens: () => Promise<void>): void {
  const { name, machine } = bound;
  test(`${name}: where there is a TPM a new host has its PIN in it, through restarts, kills and a reboot`, async () => {
    assert.match(
      doctorOf(bound),
      /bound to the TPM of this machine: a copy of its disk does not open/,
    );
    await throughRestarts(machine, opens);
  });
}

export function testLocks(bound: Bound, opens: () => Promise<void>): void {
  const { name, machine, withTpm, tcti } = bound;
  const extend = (): string =>
    machine.sh(`${withTpm}tpm2_pcrextend -T ${tcti} ${pcr}:sha256=${'5a'.repeat(32)}`);

  test(`${name}: a credential that was changed: what systemd says, and what before-start adds`, async () => {
    machine.sh(
      `cp ${credential} /root/kept.cred; sed -i '3s/./A/5' ${credential}; cmp -s ${credential} /root/kept.cred && exit 1 || :`,
    );
    await refusesToStart(machine);
    assert.match(doctorOf(bound), closed);
    machine.sh(`cp /root/kept.cred ${credential}`);
    await opens();
  });

  test(`${name}: bound to a PCR: its change locks the PIN, its old value opens it, reseal lets go of it`, async () => {
    const configured = machine.read('/etc/kleidi/kleidi.yaml');
    extend();
    machine.write('/etc/kleidi/kleidi.yaml', `${configured}\npkcs11: { pinPcrs: [${pcr}] }\n`);
    const resealed = JSON.parse(machine.sh(`${withTpm}kleidi pin reseal --json`)) as object;
    const both = { before: 'host+tpm2', after: 'host+tpm2' };
    assert.deepEqual(resealed, { pin: both, soPin: both });
    machine.sh('systemctl restart kleidi');
    await opens();

    extend();
    await refusesToStart(machine);
    const refused = machine.try(`${withTpm}kleidi pin reseal`);
    assert.equal(refused.exitCode, 78);
    assert.match(refused.stderr, closed);

    machine.sh(`${withTpm}tpm2_pcrreset -T ${tcti} ${pcr}`);
    extend();
    machine.write('/etc/kleidi/kleidi.yaml', configured);
    machine.sh(`${withTpm}kleidi pin reseal`);
    extend();
    machine.sh('systemctl restart kleidi');
    await opens();
  });
}

export function testNewBoard(bound: Bound, opens: () => Promise<void>): void {
  const { name, machine, withTpm } = bound;
  test(`${name}: a new board: the recovery key opens the PIN, and the same token serves on`, async () => {
    await bound.replaceTpm();
    await refusesToStart(machine);
    assert.match(doctorOf(bound), closed);
    machine.sh(`cd /root; echo ${passphrase} | kleidi recovery pin /var/lib/kleidi/pin.recovery.json --key recovery.key --out pin.clear --passphrase-fd 0
      ${withTpm} kleidi pin set --recovery recovery.pub=$(cat sha256) < pin.clear && shred -u pin.clear`);
    await opens();
    assert.match(doctorOf(bound), /bound to the TPM of this machine/);
  });
}
