// Doctor's group token: the module, SoftHSM's settings and folder, and the
// token itself, opened once, by the rules for PINs that all commands keep.
import type { Stats } from 'node:fs';
import type { Config } from '../config.ts';
import type { KekDescription } from '../providers/provider.ts';
import { foreignEntries } from '../readfile.ts';
import { isSoftHsm, namedTokenFolder } from '../softhsm.ts';
import { type Check, type Findings, fail, failure, ok, warn } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';
import { tokenOwnerFinding } from './owners.ts';

export const token: Check = {
  group: 'token',
  needs: 'token',

  async run(subject) {
    const { pkcs11 } = subject.config();
    if (statOf(pkcs11.module) === undefined) return moduleMissing(pkcs11.module);
    const findings = [
      ok(`module ${pkcs11.module}`),
      softHsmFindings(pkcs11, subject.config().runtimeDir),
      tokenOwnerFinding(subject.config()),
    ];
    try {
      const keks = await subject.keks();
      return [
        findings,
        ok(`token '${pkcs11.token}' opens, KEKs: ${keks.length}`),
        keks.map(attributes),
      ];
    } catch (error) {
      return [findings, failure(error)];
    }
  },
};

function moduleMissing(path: string): Findings {
  return fail(
    `the PKCS#11 module ${path} is missing`,
    'apt-get install softhsm2, dnf install softhsm, or name your module in pkcs11.module',
  );
}

/** Nothing where another module than SoftHSM is in use. */
function softHsmFindings({ module, softhsmConf }: Config['pkcs11'], runtimeDir: string): Findings {
  if (!isSoftHsm(module)) return undefined;
  if (statOf(softhsmConf) === undefined) {
    return fail(`${softhsmConf} is missing`, 'on a new host: kleidi provision; else restore it');
  }
  const folder = namedTokenFolder(softhsmConf);
  const found = folder === '' ? undefined : statOf(folder);
  if (found === undefined) {
    const what = `the token folder '${folder}' that ${softhsmConf} names is missing`;
    return fail(what, 'on a new host: kleidi provision; else restore it with owner and mode');
  }
  return [
    modeFinding(folder, found, 0o750),
    ownerFinding(folder, found.uid, runtimeDir),
    foreignFiles(folder, found),
  ];
}

/** The runtime folder belongs to the daemon's user. */
function ownerFinding(folder: string, uid: number, runtimeDir: string): Findings {
  if (uid === 0 || statOf(runtimeDir)?.uid !== uid) return undefined;
  return warn(
    `${folder} belongs to uid ${uid}, as which the daemon runs: a daemon that is taken could change the token`,
    'systemd-tmpfiles --create kleidi.conf gives it to the user kleidi-token',
  );
}

function foreignFiles(folder: string, { uid, mode }: Stats): Findings {
  const entries = foreignEntries(folder);
  const files = entries.filter((entry) => entry.isFile() || entry.isDirectory());
  const strange = entries.filter((entry) => !files.includes(entry));
  return [
    strangeFinding(folder, strange),
    ownedByOthers(folder, uid, files),
    (mode & 0o040) === 0 ? undefined : hiddenFromGroup(folder, files),
  ];
}

/** SoftHSM makes none: a link would lead it out of the folder, a pipe would hold it up. */
function strangeFinding(folder: string, strange: readonly { path: string }[]): Findings {
  const [first] = strange;
  if (first === undefined) return undefined;
  return fail(
    `${strange.length} in ${folder} are neither files nor folders, such as ${first.path}`,
    `find ${folder} ! -type f ! -type d -ls; then remove them, and look into who made them`,
  );
}

/** After a restore by hand files often belong to root, and SoftHSM then sees no token. */
function ownedByOthers(folder: string, uid: number, files: readonly Stats[]): Findings {
  const foreign = files.filter((file) => file.uid !== uid).length;
  if (foreign === 0) return undefined;
  return fail(
    `${foreign} files in ${folder} do not belong to uid ${uid}, its owner`,
    `chown -R --reference=${folder} ${folder}`,
  );
}

function hiddenFromGroup(folder: string, files: readonly Stats[]): Findings {
  const hidden = files.filter((file) => (file.mode & 0o040) === 0).length;
  if (hidden === 0) return undefined;
  return fail(
    `the group of ${folder} cannot read ${hidden} of the files in it`,
    `chmod -R g+rX ${folder}`,
  );
}

function attributes({ fp, sensitive, extractable }: KekDescription): Findings {
  const todo = 'rotate: kleidi key create, promote, and retire this one';
  return [
    extractable
      ? warn(`KEK ${fp} is extractable: whoever has the PIN can copy it`, todo)
      : undefined,
    sensitive
      ? undefined
      : warn(`KEK ${fp} is not sensitive: whoever has the PIN can read it`, todo),
  ];
}
