// What `kleidi provision` says at its end: what it has made, and what it has not.
import { existsSync } from 'node:fs';
import type { Choices } from '../admin/provision/choices.ts';
import type { Outcome } from '../admin/provision/steps.ts';
import type { Config } from '../config.ts';
import type { RecoveryKey } from '../keyring/recoverypublickey.ts';
import { keyIdOf, type Ring, writeKekOf } from '../keyring/ring.ts';
import { print, printJson, warn } from '../terminal.ts';

interface ProvisionedHost {
  readonly ring: Ring;
  readonly outcome: Outcome;
  readonly recovery: RecoveryKey | undefined;
  /** As the configuration has it. */
  readonly pin: string;
}

export function reportHost(host: ProvisionedHost, json: boolean): void {
  const { ring, outcome, recovery, pin } = host;
  const { generation } = ring;
  const kek = writeKekOf(ring);
  const keyId = keyIdOf(ring) ?? null;
  if (json) {
    printJson({
      fp: kek?.fp ?? null,
      keyId,
      ring: ring.ring,
      generation,
      recovery: kek?.recovery ?? null,
      changed: outcome === 'made',
      pinWrapped: recovery !== undefined,
    });
    return;
  }
  print(sentenceOf(host));
  if (keyId !== null) print(`key id: ${keyId}`);
  if (kek?.recovery === null)
    warnOfCost(kek.fp, waysToLoss(pin, recovery !== undefined), recovery !== undefined);
}

function sentenceOf({ ring, outcome, recovery }: ProvisionedHost): string {
  switch (outcome) {
    case 'made':
      return `provisioned: ring '${ring.ring}', generation ${ring.generation}`;
    case 'pin-wrapped':
      return `already provisioned: the PIN of the token is now wrapped for recovery key sha256:${recovery?.fingerprint}; ring and KEKs were not changed`;
    case 'nothing':
      return 'already provisioned, nothing changed';
  }
}

function waysToLoss(pin: string, isPinWrapped: boolean): string {
  if (isPinWrapped) return 'if the token is lost';
  if (pin.startsWith('file:')) return 'if the token or its PIN is lost';
  return 'if the token, its PIN or the key of that (/var/lib/systemd/credential.secret) is lost';
}

/** A KEK is wrapped when it is made: afterwards nothing takes it out of the token. */
function warnOfCost(fp: string, lost: string, isPinWrapped: boolean): void {
  warn(`KEK ${fp} has no recovery: ${lost}, so is everything sealed under it`);
  if (!isPinWrapped) return;
  warn(
    `a KEK gets its recovery only when it is made: kleidi key create --recovery PUB=SHA256, kleidi key promote; then rewrite what KEK ${fp} has sealed, and kleidi key retire it`,
  );
}

/** In the form of the file, so that a script can look for a line. */
export function reportChoices(choices: Choices, json: boolean): void {
  if (json) printJson(facts(choices));
  else print(linesOf(choices).join('\n'));
}

function facts(choices: Choices): object {
  if (choices.role === 'offline') return { role: choices.role };
  const { role, ring, firstKek, recovery } = choices;
  return {
    role,
    ring: ring ?? null,
    firstKek: firstKek ?? true,
    recovery: recovery?.fingerprint ?? null,
  };
}

function linesOf(choices: Choices): string[] {
  if (choices.role === 'offline') return ['ROLE=offline'];
  const { ring, firstKek, recovery } = choices;
  return [
    'ROLE=master',
    ...(ring === undefined ? [] : [`RING=${ring}`]),
    `FIRST_KEK=${firstKek === false ? 'no' : 'yes'}`,
    ...(recovery === undefined
      ? []
      : [`RECOVERY_KEY=${recovery.path}`, `RECOVERY_FINGERPRINT=${recovery.fingerprint}`]),
  ];
}

/** The package has stopped the service by then; a person who corrects the file has not. */
export function reportOffline({ socket }: Config, json: boolean): void {
  if (json) {
    printJson({ role: 'offline', changed: false });
    return;
  }
  print('an offline machine: no token, ring or service was made');
  if (!existsSync(socket)) return;
  warn(
    `a service is here (${socket}), which an offline machine has none of: systemctl disable --now kleidi.socket kleidi.service kleidi-first-boot.service`,
  );
}
