// kleidi credential seal: a secret that somebody gives, kept so that it opens on this machine
// alone, by the rules by which PINs are.
import type { Config } from '../../config.ts';
import { KleidiError, usage } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';
import { type Binding, bindingIn } from '../../host/binding.ts';
import { sealSecret } from './seal.ts';

interface Given {
  readonly path: string;
  /** Nothing where this systemd cannot encrypt: the file is for root alone. */
  readonly binding: Binding | undefined;
}

/** As `credential:NAME` in the configuration. */
const soundName = /^[A-Za-z0-9._-]+$/;
/** systemd takes up to 1 MiB; a key with its chain has some KiB. */
const mostBytes = 64 * 1024;

/**
 * What is there is replaced.
 * @throws KleidiError usage, refused (a PIN), pin-missing (the host key is lost), tool-missing
 */
export async function sealGiven(config: Config, name: string, secret: string): Promise<Given> {
  if (!soundName.test(name)) throw usage(`'${name}' is no name of a credential`);
  const bytes = Buffer.byteLength(secret);
  if (bytes === 0 || bytes > mostBytes) throw usage(`a secret has 1 to ${mostBytes} bytes`);
  const reference = `credential:${name}`;
  requireNoPin(config, reference);
  const sealed = await sealSecret(reference, secret, undefined, config.pkcs11);
  await writeFileAtomically(sealed.path, sealed.contents, sealed.mode, sealed.owner);
  return { path: sealed.path, binding: await bindingIn(sealed.path) };
}

/** The token must have the same PIN: those two are changed together. */
function requireNoPin({ pkcs11, tpm }: Config, reference: string): void {
  if (reference === tpm.pin) {
    throw new KleidiError(
      'refused',
      `${reference} is the PIN of the TPM's token; nothing was changed`,
      {
        hint: 'kleidi tpm create makes it, and no other opens that token',
      },
    );
  }
  if (reference !== pkcs11.pin && reference !== pkcs11.soPin) return;
  const so = reference === pkcs11.soPin ? ' --so' : '';
  throw new KleidiError('refused', `${reference} is a PIN of the token; nothing was changed`, {
    hint: `kleidi pin set${so} keeps one that the token has; kleidi pin reseal seals it anew`,
  });
}
