// What the support bundle says of the host: packages, units, folders, journal. No file is
// shown whole, but for those that hold no secret by their form.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../../config.ts';
import { softHsmPackages } from '../../softhsm.ts';
import { commandSection, ownSection, type Section } from './section.ts';

const units = ['kleidi.service', 'kleidi.socket'] as const;

/** @param configPath of the configuration in use */
export function kleidiSections(configPath: string): Section[] {
  const own = (...args: string[]): Section => ownSection(configPath, ...args);
  return [
    own('version'),
    own('config', 'check'),
    own('config', 'print'),
    own('doctor'),
    own('status', '--json'),
    own('ring', 'show', '--json'),
  ];
}

export function hostSections(config: Config | undefined): Section[] {
  return [
    fileSection('/etc/os-release'),
    commandSection('uname', '-a'),
    commandSection('systemctl', '--version'),
    commandSection('timedatectl'),
    commandSection('dpkg-query', '--show', 'kleidi', ...softHsmPackages.deb),
    commandSection('rpm', '--query', 'kleidi', ...softHsmPackages.rpm),
    commandSection('dpkg', '--verify', 'kleidi'),
    commandSection('rpm', '--verify', 'kleidi'),
    commandSection('df', '-h', '/', '/etc', '/run', '/var/lib'),
    fileSection('/etc/kleidi/install.conf'),
    ...recordsOf(config),
    ...folders(config).map(folderSection),
    commandSection('systemctl', 'cat', ...units),
    commandSection('systemctl', 'show', ...units, `--property=${properties.join(',')}`),
  ];
}

const properties = [
  ...['Id', 'LoadState', 'ActiveState', 'SubState', 'UnitFileState', 'DropInPaths'],
  ...['NeedDaemonReload', 'NRestarts', 'Result', 'ExecMainStatus', 'ExecMainStartTimestamp'],
  ...['MemoryCurrent', 'MemoryPeak', 'CPUUsageNSec', 'FileDescriptorStoreMax', 'NAccepted'],
];

/** @param since as journalctl takes it */
export function journalSection(since: string): Section {
  const matches = [
    ...units.flatMap((unit) => [`_SYSTEMD_UNIT=${unit}`, '+', `UNIT=${unit}`, '+']),
    'SYSLOG_IDENTIFIER=kleidi-admin',
  ];
  const form = ['--no-pager', '--output=short-iso-precise', `--since=${since}`];
  return commandSection('journalctl', ...form, ...matches);
}

/** Which steps were taken here, and when: no secrets. */
function recordsOf(config: Config | undefined): Section[] {
  if (config === undefined) return [];
  const names = ['provision.json', 'changes.json'];
  return names.map((name) => fileSection(join(dirname(config.ring), name)));
}

function folders(config: Config | undefined): readonly string[] {
  const state = config === undefined ? [] : [dirname(config.ring), config.runtimeDir];
  const sockets = config === undefined ? [] : [dirname(config.socket)];
  return [...new Set(['/etc/kleidi', ...state, ...sockets])];
}

function fileSection(path: string): Section {
  return { title: path, read: async () => readFileSync(path, 'utf8') };
}

/** Names, owners, modes and sizes alone. */
function folderSection(folder: string): Section {
  return {
    title: `ls -lR ${folder}`,
    read: async () => {
      const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
      return [folder, ...entries.map((entry) => join(folder, entry))].map(lineOf).join('\n');
    },
  };
}

function lineOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return `?  ${path}`;
  const { mode, uid, gid, size, mtime } = found;
  const octal = (mode & 0o7777).toString(8).padStart(4, '0');
  return `${octal} ${uid}:${gid} ${String(size).padStart(9)} ${mtime.toISOString()} ${path}`;
}
