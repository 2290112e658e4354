// What SoftHSM is: where distributions put its module, how it is told from other
// modules, and its settings, which name the folder of its tokens.
import { existsSync, readdirSync, readFileSync } from 'node:fs';

export const softHsmPaths = [
  '/usr/lib/softhsm/libsofthsm2.so', // Debian, Ubuntu
  '/usr/lib64/pkcs11/libsofthsm2.so', // Fedora, RHEL
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/lib64/libsofthsm2.so', // openSUSE
  '/usr/lib/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
] as const;

/** The first that exists, or Debian's path, so that the error names one. */
export function firstModule(): string {
  return softHsmPaths.find((path) => existsSync(path)) ?? softHsmPaths[0];
}

/**
 * @param what the path of a module, as every distribution has it, so that nothing need be
 *   loaded; or what a loaded module says of itself
 */
export function isSoftHsm(what: string): boolean {
  return /softhsm/i.test(what);
}

/** @param tokens absolute path of the folder */
export function softHsmSettings(tokens: string): string {
  return `# SoftHSM's settings for kleidi; see softhsm2.conf(5).
directories.tokendir = ${tokens}
objectstore.backend = file
log.level = ERROR
slots.removable = false
`;
}

/** The folder that these settings name, whether it exists or not; '' where they name none. */
export function namedTokenFolder(softhsmConf: string): string {
  const text = readFileSync(softhsmConf, 'utf8');
  return /^\s*directories\.tokendir\s*=\s*(.+?)\s*$/m.exec(text)?.[1] ?? '';
}

/** The token folder as it is; undefined where there is none. */
export function softHsmFolder(softhsmConf: string): string | undefined {
  if (!existsSync(softhsmConf)) return undefined;
  const folder = namedTokenFolder(softhsmConf);
  return existsSync(folder) ? folder : undefined;
}

export function softHsmTokenExists(softhsmConf: string): boolean {
  const folder = softHsmFolder(softhsmConf);
  return folder !== undefined && readdirSync(folder).length > 0;
}

/** What packages it comes in: Debian and Ubuntu; Fedora and RHEL. */
export const softHsmPackages = {
  deb: ['softhsm2', 'libsofthsm2'],
  rpm: ['softhsm'],
} as const;
