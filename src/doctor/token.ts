// Doctor's group token: the module, SoftHSM's settings and folder, and the
// token itself, opened once, by the rules for PINs that all commands keep.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { isSoftHsm } from '../modules.ts';
import { tokenFolder } from '../providers/pkcs11/child.ts';
import type { KekDescription } from '../providers/provider.ts';
import { type Check, type Finding, fail, failure, noToken, ok, tokenInUse, warn } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';

export const token: Check = {
  group: 'token',
  needsConfig: true,

  async run(subject) {
    if (!(await tokenInUse(subject))) return [noToken];
    const { pkcs11 } = subject.config();
    if (statOf(pkcs11.module) === undefined) return [moduleMissing(pkcs11.module)];
    const findings = [ok(`module ${pkcs11.module}`), ...softHsmFindings(pkcs11)];
    try {
      const keks = await subject.keks();
      return [
        ...findings,
        ok(`token '${pkcs11.token}' opens, KEKs: ${keks.length}`),
        ...keks.flatMap(attributes),
      ];
    } catch (error) {
      return [...findings, failure(error)];
    }
  },
};

function moduleMissing(path: string): Finding {
  return fail(
    `the PKCS#11 module ${path} is missing`,
    'apt-get install softhsm2, dnf install softhsm, or name your module in pkcs11.module',
  );
}

/** Nothing where another module than SoftHSM is in use. */
function softHsmFindings({ module, softhsmConf }: Config['pkcs11']): Finding[] {
  if (!isSoftHsm(module)) return [];
  if (statOf(softhsmConf) === undefined) {
    return [fail(`${softhsmConf} is missing`, 'on a new host: kleidi provision; else restore it')];
  }
  const folder = tokenFolder(readFileSync(softhsmConf, 'utf8'));
  const found = folder === '' ? undefined : statOf(folder);
  if (found === undefined) {
    const what = `the token folder '${folder}' that ${softhsmConf} names is missing`;
    return [fail(what, 'on a new host: kleidi provision; else restore it with owner and mode')];
  }
  return [modeFinding(folder, found, 0o700), ...foreignFiles(folder, found.uid)];
}

/** After a restore by hand files often belong to root, and SoftHSM then sees no token. */
function foreignFiles(folder: string, uid: number): Finding[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const foreign = names.filter((name) => (statOf(join(folder, name))?.uid ?? uid) !== uid);
  if (foreign.length === 0) return [];
  const what = `${foreign.length} files in ${folder} do not belong to uid ${uid}, its owner`;
  return [fail(what, `chown -R --reference=${folder} ${folder}`)];
}

function attributes({ fp, sensitive, extractable }: KekDescription): Finding[] {
  const todo = 'rotate: kleidi key create, promote, and retire this one';
  return [
    ...(extractable
      ? [warn(`KEK ${fp} is extractable: whoever has the PIN can copy it`, todo)]
      : []),
    ...(sensitive
      ? []
      : [warn(`KEK ${fp} is not sensitive: whoever has the PIN can read it`, todo)]),
  ];
}
