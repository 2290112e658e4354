// Doctor's group vault: whether Vault answers, lets this host in, and holds what
// the ring names. Says nothing on a host that does not use it.
import type { Config } from '../config.ts';
import { isUnretired, type Ring } from '../keyring/ring.ts';
import { missingKeks } from '../providers/kekidentity.ts';
import { deletionIn, type KeySettings, leakIn } from '../providers/vault/keysettings.ts';
import type { VaultKek } from '../providers/vault/versions.ts';
import { type Check, type Findings, fail, failure, ok, warn } from './check.ts';

export const vault: Check = {
  group: 'vault',
  needs: 'config',

  async run(subject) {
    const config = subject.config();
    const ring = await subject.ring().catch(() => undefined);
    const named = ring?.keks.filter((kek) => kek.provider === 'vault') ?? [];
    if (config.vault.address.length === 0) return named.length === 0 ? undefined : notConfigured();
    const findings = clusterFindings(config);
    try {
      const { settings, keks } = await subject.vaultKey();
      const held = ok(`Transit key '${config.vault.key}' has ${keks.length} usable versions`);
      return [findings, held, keyFindings(config, settings), ringFindings(ring, keks)];
    } catch (error) {
      return [findings, failure(error)];
    }
  },
};

function notConfigured(): Findings {
  return fail(
    'the ring names a KEK in Vault, and vault.address is not set',
    'set vault.address and vault.auth as on the other hosts',
  );
}

/** A Vault that needs the cluster cannot help to start it. */
function clusterFindings({ vault: { address } }: Config): Findings {
  return address
    .filter((each) => /\.svc(\.|:|$)|\.cluster\.local/.test(each))
    .map((each) =>
      warn(
        `${each} is a name inside a cluster: if it is the one whose Secrets kleidi seals, neither starts without the other`,
        'run Vault outside of it',
      ),
    );
}

/** Whoever runs Vault can unwrap in any case; these let the KEKs leave it, or end. */
function keyFindings({ vault: { mount, key } }: Config, settings: KeySettings): Findings {
  const [leak, deletion] = [leakIn(key, settings), deletionIn(mount, key, settings)];
  return [leak && fail(leak.what, leak.todo), deletion && warn(deletion.what, deletion.todo)];
}

function ringFindings(ring: Ring | undefined, versions: readonly VaultKek[]): Findings {
  const named = ring?.keks.filter((kek) => kek.provider === 'vault') ?? [];
  const missing = missingKeks(named.filter(isUnretired), versions);
  const live = named.filter(isUnretired).map(({ fp }) => fp);
  const newer = versions.filter(({ fp }) => !named.some((kek) => kek.fp === fp)).at(-1);
  return [
    missing.map(({ fp }) =>
      fail(`Vault has no usable version for KEK ${fp}`, 'lower min_decryption_version of the key'),
    ),
    versions.filter(({ fp }) => live.includes(fp)).map(knownFinding),
    newer &&
      warn(
        `version ${newer.version} of the Transit key is not in the ring`,
        `on every host: kleidi key import --vault-version ${newer.version}`,
      ),
  ];
}

function knownFinding({ fp, refusal, hasKnownText }: VaultKek): Findings {
  if (refusal !== undefined) return failure(refusal);
  if (hasKnownText) return undefined;
  const what = `this host has no known text of KEK ${fp}: another key in its place would not be noticed`;
  return warn(what, 'kleidi vault record');
}
