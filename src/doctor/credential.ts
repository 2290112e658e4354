// Doctor's group credential: the PINs are there, can be opened, are readable by
// their owner only, and the token has not refused the PIN already. Shows none.
import type { Config } from '../config.ts';
import { bindingIn, hasTpm, isBoundToTpm } from '../host/binding.ts';
import {
  encryptedCredential,
  parseReference,
  pendingSecret,
  plainCredential,
  readSecret,
} from '../host/credentials.ts';
import { otherMachine } from '../host/machine.ts';
import { RefusedPin } from '../providers/pkcs11/refusedpin.ts';
import { daemonReader } from '../providers/pkcs11/tokenfolder.ts';
import {
  type Check,
  type Finding,
  type Findings,
  fail,
  failure,
  notAsUser,
  ok,
  warn,
} from './check.ts';
import { statOf, unreadableFinding } from './filemode.ts';

const reseal = 'kleidi pin reseal';

export const credential: Check = {
  group: 'credential',
  needs: 'token',

  async run(subject) {
    const { isRoot } = subject;
    const { pkcs11, runtimeDir } = subject.config();
    const pin = await secretFinding('PIN', pkcs11.pin, isRoot);
    const soPin = await secretFinding('SO PIN', pkcs11.soPin, isRoot);
    return [
      machineFinding(subject.config()),
      pin,
      pin.severity === 'ok' && isRoot ? await bindingFinding(pkcs11) : undefined,
      interrupted('PIN', pkcs11.pin, 'kleidi pin set'),
      interrupted('SO PIN', pkcs11.soPin, 'kleidi pin set --so'),
      readerFinding(pkcs11.pin, pkcs11.softhsmConf),
      pin.severity === 'ok' ? await refusal(pkcs11.pin, runtimeDir) : undefined,
      lessGrave(soPin),
    ];
  },
};

async function secretFinding(name: string, reference: string, isRoot: boolean): Promise<Finding> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'credential') {
    if (!isRoot) return notAsUser(`${name} (${reference})`);
    const both = [encryptedCredential, plainCredential].map((path) => path(parsed.name));
    if (both.every((path) => statOf(path) !== undefined)) {
      return fail(
        `${both.join(' and ')} both exist`,
        'remove the one that is not in use: systemctl cat kleidi',
      );
    }
  }
  try {
    await readSecret(reference, {});
    return ok(`the ${name} can be read`);
  } catch (error) {
    return failure(error);
  }
}

/** What a stolen disk would give. A token of a network HSM has its PIN there all the same. */
async function bindingFinding({ pin, pinBinding }: Config['pkcs11']): Promise<Findings> {
  const parsed = parseReference(pin);
  if (parsed.kind === 'file') return undefined;
  const binding = await bindingIn(encryptedCredential(parsed.name));
  if (binding === undefined) return undefined;
  if (isBoundToTpm(binding)) {
    if (pinBinding !== 'host') {
      return ok(
        'the PIN is bound to the TPM of this machine: a copy of its disk does not open the token',
      );
    }
    return warn('the PIN is bound to the TPM, which pkcs11.pinBinding does not ask for', reseal);
  }
  const what =
    "the PIN is bound to this machine's disk alone: whoever has the whole disk opens the token";
  if (pinBinding === 'auto' ? hasTpm() : pinBinding !== 'host') return warn(what, reseal);
  return ok(what);
}

/** Which of the two the token has, only a try can tell. */
function interrupted(name: string, reference: string, command: string): Findings {
  const path = pendingSecret(reference);
  if (path === undefined) return undefined;
  return fail(
    `a change of the ${name} has not come to its end: the new one waits in ${path}`,
    `${command}, which finishes or drops it`,
  );
}

function machineFinding({ ring }: Config): Findings {
  const fault = otherMachine(ring);
  if (fault === undefined) return undefined;
  const todo =
    'if it is the same host, put its old machine-id back first; a copy of another host needs a token of its own: kleidi provision --replace copied-disk';
  return fail(fault, todo);
}

/** The daemon reads a `file:` PIN as its own user, or by its group. */
function readerFinding(reference: string, softhsmConf: string): Findings {
  const parsed = parseReference(reference);
  if (parsed.kind !== 'file') return undefined;
  const { path } = parsed;
  const found = statOf(path);
  if (found === undefined) return undefined;
  return unreadableFinding(path, found, daemonReader(softhsmConf), ({ uid, gid }) =>
    uid === undefined
      ? `chown 0:${gid} ${path}; chmod 0440 ${path}`
      : `chown ${uid}:${gid} ${path}`,
  );
}

async function refusal(reference: string, runtimeDir: string): Promise<Findings> {
  const refused = await new RefusedPin(runtimeDir).isRefused(await readSecret(reference, {}));
  if (!refused) return undefined;
  const todo = 'put the right PIN there: kleidi pin set';
  return fail('the token has refused this PIN; it is not tried again', todo);
}

/** Only provision needs the SO PIN. */
function lessGrave(finding: Finding): Finding {
  return finding.severity === 'fail' ? warn(finding.what, finding.todo ?? '') : finding;
}
