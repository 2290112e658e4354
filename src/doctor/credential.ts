// Doctor's group credential: the PINs are there, can be opened, are readable by
// their owner only, and the token has not refused the PIN already. Shows none.
import type { Config } from '../config.ts';
import {
  encryptedCredential,
  parseReference,
  plainCredential,
  readSecret,
} from '../host/credentials.ts';
import { otherMachine } from '../host/machine.ts';
import { RefusedPin } from '../providers/pkcs11/refusedpin.ts';
import { daemonReader } from '../providers/pkcs11/tokenfolder.ts';
import {
  type Check,
  type Finding,
  fail,
  failure,
  noToken,
  notAsUser,
  ok,
  statOf,
  tokenInUse,
  unreadableFindings,
  warn,
} from './check.ts';

export const credential: Check = {
  group: 'credential',
  needsConfig: true,

  async run(subject) {
    if (!(await tokenInUse(subject))) return [noToken];
    const { isRoot } = subject;
    const { pkcs11, runtimeDir } = subject.config();
    const pin = await secretFindings('PIN', pkcs11.pin, isRoot);
    const soPin = await secretFindings('SO PIN', pkcs11.soPin, isRoot);
    return [
      ...machineFindings(subject.config()),
      ...pin,
      ...readerFindings(pkcs11.pin, pkcs11.softhsmConf),
      ...(pin.every(({ severity }) => severity === 'ok')
        ? await refusal(pkcs11.pin, runtimeDir)
        : []),
      ...soPin.map(lessGrave),
    ];
  },
};

async function secretFindings(
  name: string,
  reference: string,
  isRoot: boolean,
): Promise<readonly Finding[]> {
  const parsed = parseReference(reference);
  if (parsed.kind === 'credential') {
    if (!isRoot) return [notAsUser(`${name} (${reference})`)];
    const both = [encryptedCredential, plainCredential].map((path) => path(parsed.name));
    if (both.every((path) => statOf(path) !== undefined)) {
      return [
        fail(
          `${both.join(' and ')} both exist`,
          'remove the one that is not in use: systemctl cat kleidi',
        ),
      ];
    }
  }
  try {
    await readSecret(reference, {});
    return [ok(`the ${name} can be read`)];
  } catch (error) {
    return [failure(error)];
  }
}

function machineFindings({ ring }: Config): readonly Finding[] {
  const fault = otherMachine(ring);
  if (fault === undefined) return [];
  const todo =
    'if it is the same host, put its old machine-id back first; a copy of another host needs a token of its own: docs/operations.md, lost token';
  return [fail(fault, todo)];
}

/** The daemon reads a `file:` PIN as its own user, or by its group. */
function readerFindings(reference: string, softhsmConf: string): readonly Finding[] {
  const parsed = parseReference(reference);
  if (parsed.kind !== 'file') return [];
  const { path } = parsed;
  const found = statOf(path);
  if (found === undefined) return [];
  return unreadableFindings(path, found, daemonReader(softhsmConf), ({ uid, gid }) =>
    uid === undefined
      ? `chown 0:${gid} ${path}; chmod 0440 ${path}`
      : `chown ${uid}:${gid} ${path}`,
  );
}

async function refusal(reference: string, runtimeDir: string): Promise<readonly Finding[]> {
  const refused = await new RefusedPin(runtimeDir).isRefused(await readSecret(reference, {}));
  if (!refused) return [];
  const todo = 'put the right PIN there, then: systemctl restart kleidi';
  return [fail('the token has refused this PIN; it is not tried again', todo)];
}

/** Only provision needs the SO PIN. */
function lessGrave(finding: Finding): Finding {
  return finding.severity === 'fail' ? warn(finding.what, finding.todo ?? '') : finding;
}
