// Whether the daemon can read what it needs, and nobody else can change it: also on a host
// that still serves, where a wrong owner shows at the next start only.
import type { Config } from '../config.ts';
import { type Due, isAsDue, ownersDue, tokenOwnerDue } from '../host/owners.ts';
import { isSoftHsm, namedTokenFolder } from '../softhsm.ts';
import { type Finding, type Findings, fail } from './check.ts';
import { statOf } from './filemode.ts';

/** What is beside the ring. @param etc where passwd and group are */
export function ownerFindings(config: Config, etc = '/etc'): Findings {
  const owner = tokenOwnerDue(config, etc);
  return owner === undefined
    ? undefined
    : ownersDue(config, owner).flatMap((due) => findingsOf(due));
}

/** Of the token folder itself; what is in it is compared with it. */
export function tokenOwnerFinding(config: Config, etc = '/etc'): Findings {
  const owner = tokenOwnerDue(config, etc);
  const { module, softhsmConf } = config.pkcs11;
  if (owner === undefined || !isSoftHsm(module) || statOf(softhsmConf) === undefined) {
    return undefined;
  }
  const path = namedTokenFolder(softhsmConf);
  return findingsOf({ path, owner, least: 0o750, most: 0o750 }, 'u=rwX,g=rX,o=');
}

function findingsOf(due: Due, treeMode?: string): Finding[] {
  const found = due.path === '' ? undefined : statOf(due.path);
  if (found === undefined || isAsDue(found, due)) return [];
  const { uid, gid } = due.owner;
  const [flag, mode] = treeMode === undefined ? ['', modeText(due.least)] : ['-R ', treeMode];
  return [
    fail(
      `${due.path} has uid ${found.uid}, gid ${found.gid}, mode ${modeText(found.mode)}, and should have uid ${uid}, gid ${gid}, mode ${modeText(due.least)}: the daemon could not read it, or others could`,
      `chown ${flag}${uid}:${gid} ${due.path} && chmod ${flag}${mode} ${due.path}`,
    ),
  ];
}

function modeText(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}
