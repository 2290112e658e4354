// systemd-creds seals a PIN, to the host key, the TPM or both. What it has sealed is opened
// before it is trusted: a TPM may seal what it will not open.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Config } from '../../config.ts';
import { KleidiError, reasonOf } from '../../errors.ts';
import { isErrno } from '../../files.ts';
import { type Binding, hasTpm } from '../../host/binding.ts';
import { requireNoLostHostKey } from '../../host/hostkey.ts';
import { warn } from '../../terminal.ts';

/** `pkcs11.pinBinding` and `pkcs11.pinPcrs`. */
export type SealPolicy = Pick<Config['pkcs11'], 'pinBinding' | 'pinPcrs'>;

/**
 * Never extended, so that it stands for "none": systemd 252 does not open what it has sealed
 * to no PCR, and takes PCR 7 where none is named, which an update of Secure Boot changes.
 */
const idlePcr = 23;

/** To what a credential is sealed where all works. */
export function wantedBinding({ pinBinding }: SealPolicy): Binding {
  if (pinBinding !== 'auto') return pinBinding;
  return hasTpm() ? 'host+tpm2' : 'host';
}

/**
 * @returns undefined where this systemd has no systemd-creds
 * @throws KleidiError tool-missing, pin-missing (the host key is lost)
 */
export async function encryptCredential(
  name: string,
  pin: string,
  policy: SealPolicy,
): Promise<Buffer | undefined> {
  const wanted = wantedBinding(policy);
  if (policy.pinBinding !== 'auto' || wanted === 'host') return sealTo(wanted, name, pin, policy);
  try {
    return await sealTo(wanted, name, pin, policy);
  } catch (error) {
    if (!(error instanceof KleidiError) || error.code !== 'tool-missing') throw error;
    warn(`${error.message}; it is sealed to this machine's disk alone`);
    return sealTo('host', name, pin, policy);
  }
}

async function sealTo(
  binding: Binding,
  name: string,
  pin: string,
  { pinPcrs }: SealPolicy,
): Promise<Buffer | undefined> {
  if (binding !== 'tpm2') await requireNoLostHostKey();
  const pcrs = (pinPcrs.length === 0 ? [idlePcr] : pinPcrs).join('+');
  const toTpm = binding === 'host' ? [] : [`--tpm2-pcrs=${pcrs}`];
  const args = ['encrypt', `--with-key=${binding}`, ...toTpm, `--name=${name}`, '-', '-'];
  const sealed = await systemdCreds(args, pin);
  if (sealed === undefined) return undefined;
  if (sealed.exitCode !== 0) throw cannotSeal(name, binding, sealed.said);
  const opened = await systemdCreds(['decrypt', `--name=${name}`, '-', '-'], sealed.output);
  if (opened?.output.toString() === pin) return sealed.output;
  throw cannotSeal(name, binding, opened?.said ?? 'what it has sealed does not open');
}

interface Ran {
  readonly exitCode: number;
  readonly output: Buffer;
  /** The last line on standard error. */
  readonly said: string;
}

/** @returns undefined where there is none */
async function systemdCreds(
  args: readonly string[],
  input: string | Buffer,
): Promise<Ran | undefined> {
  const child = spawn('systemd-creds', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const said = text(child.stderr).catch(() => '');
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  try {
    const [exitCode] = (await once(child, 'close')) as [number | null];
    const lines = (await said).trim().split('\n');
    return { exitCode: exitCode ?? 1, output: Buffer.concat(chunks), said: lines.at(-1) ?? '' };
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined;
    return { exitCode: 1, output: Buffer.alloc(0), said: reasonOf(cause) };
  }
}

function cannotSeal(name: string, binding: Binding, why: string): KleidiError {
  const to = binding === 'host' ? '' : ' to the TPM of this machine';
  const hint =
    binding === 'host'
      ? 'run as root; outside systemd set pkcs11.pin and pkcs11.soPin to file:/PATH'
      : 'systemd-creds has-tpm2 says what is missing (libtss2 for systemd, as a rule); pkcs11.pinBinding: host seals to the disk alone';
  const because = why === '' ? '' : `: ${why}`;
  return new KleidiError(
    'tool-missing',
    `systemd-creds cannot seal the credential '${name}'${to}${because}`,
    { hint },
  );
}
