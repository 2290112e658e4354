// What a sealed credential hangs on: the host key on this machine's disk, its TPM, or both.
// systemd writes it in the first 16 bytes (src/shared/creds-util.h, the same since 250).
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

export type Binding = 'host' | 'tpm2' | 'host+tpm2';

const bindings: ReadonlyMap<string, Binding> = new Map([
  ['5a1c6a86df9d4096b1d5a65e0862f19a', 'host'],
  ['0c7cc07b117645919c4b0bea08bc20fe', 'tpm2'],
  ['93a894094874449090caf2fc93cab553', 'host+tpm2'],
  // With a policy that the maker of the operating system signs.
  ['faf7eb9341e3412ca1a436f95a29362f', 'tpm2'],
  ['af4950a849134eb1a73846304ff30c05', 'host+tpm2'],
]);
const idBytes = 16;

/** @param credential as systemd-creds writes it, base64 */
export function bindingOf(credential: string): Binding | undefined {
  const id = Buffer.from(credential.slice(0, 24), 'base64').subarray(0, idBytes);
  return bindings.get(id.toString('hex'));
}

/** Of the credential in this file; undefined where it cannot be told. */
export async function bindingIn(path: string): Promise<Binding | undefined> {
  const text = await readFile(path, 'latin1').catch(() => undefined);
  return text === undefined ? undefined : bindingOf(text);
}

export function isBoundToTpm(binding: Binding | undefined): boolean {
  return binding === 'tpm2' || binding === 'host+tpm2';
}

/** TPM 2.0, by its resource manager in the kernel, or another that systemd was told of. */
export function hasTpm(env: NodeJS.ProcessEnv = process.env): boolean {
  return existsSync('/dev/tpmrm0') || (env['SYSTEMD_TPM2_DEVICE'] ?? '') !== '';
}
