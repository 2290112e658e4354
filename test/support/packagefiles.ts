// What is in a deb and an rpm, read by dpkg-deb and rpm as a host would.
import { execFileSync } from 'node:child_process';

export interface PackageFile {
  readonly path: string;
  /** Permission bits, such as 644. */
  readonly mode: string;
  readonly owner: string;
  readonly isFolder: boolean;
}

function read(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20 });
}

export function debFiles(deb: string): PackageFile[] {
  return read('dpkg-deb', '--contents', deb)
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [permissions = '', owner = '', , , , path = ''] = line.split(/\s+/);
      return {
        path: path.slice(1).replace(/\/$/, '') || '/',
        mode: octal(permissions.slice(1)),
        owner: owner.replace('/', ':'),
        isFolder: permissions.startsWith('d'),
      };
    });
}

/** rwxr-xr-x to 755; a set-uid or sticky bit shows as a letter that is neither. */
function octal(permissions: string): string {
  const digit = (triple: string): number =>
    [...triple].reduce(
      (sum, letter, at) => sum + (letter === 'rwx'[at] ? 4 >> at : letter === '-' ? 0 : 8),
      0,
    );
  return [0, 3, 6].map((at) => digit(permissions.slice(at, at + 3))).join('');
}

export function rpmFiles(rpm: string): PackageFile[] {
  const format = '[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME}\n]';
  return read('rpm', '-qp', '--qf', format, rpm)
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [path = '', mode = '', owner = ''] = line.split(' ');
      return {
        path,
        mode: mode.slice(-4).replace(/^0/, ''),
        owner,
        isFolder: /^0?4....$/.test(mode),
      };
    });
}

/** SHA-256 of each file of the rpm, as rpm keeps it. */
export function rpmDigests(rpm: string): Map<string, string> {
  const lines = read('rpm', '-qp', '--qf', '[%{FILENAMES} %{FILEDIGESTS}\n]', rpm)
    .trimEnd()
    .split('\n');
  return new Map(lines.map((line) => line.split(' ') as [string, string]));
}
