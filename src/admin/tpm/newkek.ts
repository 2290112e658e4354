// A new KEK in the TPM of this machine: a token in its store where there is none, and in it an
// RSA key and an HMAC key that the TPM makes and that never leave it.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Config } from '../../config.ts';
import { KleidiError } from '../../errors.ts';
import { writeFileAtomically } from '../../files.ts';
import { readSecret, secretPaths } from '../../host/credentials.ts';
import { missingKeks } from '../../providers/kekidentity.ts';
import type { KekDescription, KekIdentity } from '../../providers/provider.ts';
import { TokenCommand } from '../../tokenchild/client.ts';
import { kekLabel } from '../../tokenchild/protocol.ts';
import { tpmStoreExists } from '../../tpmmodule.ts';
import { randomPin, sealSecret } from '../pin/seal.ts';
import { ptool } from './ptool.ts';
import { changeStore, dropCopy } from './store.ts';

/**
 * One that the store holds and the ring does not name is taken: a command was killed before it
 * was entered. Call it under the ring's lock.
 * @param known the KEKs of the ring
 * @throws KleidiError tool-missing, module-*, pin-*, token-*
 */
export async function newTpmKek(
  config: Config,
  ring: string,
  known: readonly KekIdentity[],
): Promise<KekIdentity> {
  await dropCopy(config);
  const pin = await pinOf(config);
  const held = tpmStoreExists(config.tpm.store) ? await keksIn(config) : [];
  const [left] = missingKeks(held, known);
  if (left !== undefined) return left;
  return changeStore(config, (copy) => makeIn(config, copy, { pin, ring, held }));
}

/**
 * To the disk alone: the token opens on this TPM alone in any case, and a unit that lacks a
 * credential does not start, which would take the other KEKs along with a dead board.
 */
const sealPolicy = { pinBinding: 'host', pinPcrs: [] } as const;

/** The one that is sealed on this host, or a new one, sealed before anything hangs on it. */
async function pinOf(config: Config): Promise<string> {
  const reference = config.tpm.pin;
  if (secretPaths(reference).some((path) => existsSync(path))) {
    return readSecret(reference, process.env);
  }
  if (tpmStoreExists(config.tpm.store)) throw lostPin(config);
  const pin = randomPin();
  const sealed = await sealSecret(reference, pin, undefined, sealPolicy);
  await writeFileAtomically(sealed.path, sealed.contents, sealed.mode, sealed.owner);
  return pin;
}

function keksIn(config: Config, store = config.tpm.store): Promise<readonly KekDescription[]> {
  return new TokenCommand(config, { kind: 'tpm', store }).list();
}

interface Making {
  readonly pin: string;
  readonly ring: string;
  readonly held: readonly KekIdentity[];
}

/**
 * tpm2_ptool is told PINs that hold for its run and in this copy alone: they come from nothing
 * and are changed in the token afterwards, over a pipe.
 */
async function makeIn(config: Config, copy: string, making: Making): Promise<KekIdentity> {
  const { pin, ring, held } = making;
  const token = new TokenCommand(config, { kind: 'tpm', store: copy });
  const { token: label } = config.tpm;
  const [userPin, soPin] = [randomPin(), randomPin()];
  const isNew = !tpmStoreExists(config.tpm.store);
  if (isNew) await makeToken(config, copy, { label, userPin, soPin });
  else await token.changePin('user', pin, userPin);
  const id = randomBytes(8).toString('hex');
  for (const algorithm of ['rsa2048', 'hmac:sha256']) {
    const key = ['--algorithm', algorithm, '--id', id, '--key-label', kekLabel(ring)];
    await ptool(config, copy, ['addkey', '--label', label, `--userpin=${userPin}`, ...key]);
  }
  await token.changePin('user', userPin, pin);
  // Nobody needs it any more: the token ends with its keys.
  if (isNew) await token.changePin('so', soPin, randomPin());
  const [made] = missingKeks(await keksIn(config, copy), held);
  if (made !== undefined) return made;
  throw new KleidiError('module-failed', 'the TPM does not open the keys that it has made', {
    hint: 'nothing was changed; tpm2_ptool verify says more of the module',
  });
}

interface NewToken {
  readonly label: string;
  readonly userPin: string;
  readonly soPin: string;
}

/** Its parent key is made anew at each login from the seed of the TPM, and so takes no room there. */
async function makeToken(config: Config, copy: string, token: NewToken): Promise<void> {
  const { label, userPin, soPin } = token;
  await ptool(config, copy, ['init', '--transient-parent', 'tpm2-tools-ecc-default']);
  // One word each: a random PIN may begin with a hyphen.
  const pins = [`--sopin=${soPin}`, `--userpin=${userPin}`];
  await ptool(config, copy, ['addtoken', '--pid', '1', '--label', label, ...pins]);
}

function lostPin({ tpm }: Config): KleidiError {
  return new KleidiError(
    'pin-missing',
    `${tpm.store} has a token, and its PIN is not on this host: ${secretPaths(tpm.pin).join(', ')}`,
    {
      hint: 'put the credential back from a backup of this host. Without it the KEKs in that store are gone: move the folder away, and begin anew',
    },
  );
}
