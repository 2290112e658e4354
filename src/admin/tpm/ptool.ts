// tpm2_ptool makes what PKCS#11 cannot make here: a store, a token, and keys that the TPM itself
// has made (tpm2-pkcs11 1.9 has no C_GenerateKey). It takes PINs as arguments, which every user
// of the machine can read: give it none that opens anything afterwards.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Config } from '../../config.ts';
import { KleidiError, reasonOf } from '../../errors.ts';
import { isErrno } from '../../files.ts';
import { environmentOf } from '../../providers/pkcs11/child.ts';

/** RSA keys take a TPM up to half a minute. */
const timeoutMs = 120_000;

/**
 * @param store the folder that it works in
 * @throws KleidiError tool-missing, module-failed
 */
export async function ptool(config: Config, store: string, args: readonly string[]): Promise<void> {
  const { tcti } = config.tpm;
  const env = {
    ...environmentOf(config.pkcs11.environment),
    TPM2_PKCS11_TCTI: tcti,
    TPM2TOOLS_TCTI: tcti,
  };
  try {
    await promisify(execFile)('tpm2_ptool', [...args, '--path', store], {
      env,
      cwd: '/',
      timeout: timeoutMs,
    });
  } catch (cause) {
    throw failed(args[0] ?? '', cause);
  }
}

function failed(step: string, cause: unknown): KleidiError {
  if (isErrno(cause, 'ENOENT')) {
    return new KleidiError('tool-missing', 'tpm2_ptool is needed to make keys in the TPM', {
      hint: 'install it: apt install libtpm2-pkcs11-tools (Debian, Ubuntu); dnf install tpm2-pkcs11-tools (Fedora)',
      cause,
    });
  }
  return new KleidiError('module-failed', `tpm2_ptool ${step} failed: ${lastLine(cause)}`, {
    hint: 'check tpm.tcti, and that the TPM answers: tpm2_getcap properties-fixed. Nothing was changed',
    cause,
  });
}

/** Its traces end with what has failed. */
function lastLine(cause: unknown): string {
  const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
  return said.split('\n').at(-1)?.slice(0, 500) || reasonOf(cause);
}
