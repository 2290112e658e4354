// What systemd reads of a unit: its drop-ins, and the environment files that they name.
import { basename } from 'node:path';
import { firstAt, pathsIn, textAt, textsAt } from '../hostfiles.ts';
import type { Texts } from './distribution.ts';

/** Where systemd looks for a unit; the first wins. Drop-ins of all folders count. */
const unitFolders = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
] as const;

export const unitPaths = pathsOfService('kube-apiserver');

export const unitDropIn = '/etc/systemd/system/kube-apiserver.service.d/50-kleidi.conf';

/** Drop-ins of the unit but for ours, and the environment files that they name. */
export function unitFiles(root: string, unit: string): Texts {
  const dropIns = textsAt(
    root,
    unitFolders.flatMap((folder) => pathsIn(root, `${folder}/${basename(unit)}.d`, /\.conf$/)),
  );
  dropIns.delete(unitDropIn);
  const names = environmentsOf(textAt(root, unit) ?? '', dropIns);
  return new Map([...dropIns, ...textsAt(root, names)]);
}

/** All of it as one text, without comments. */
export function unitText(root: string, unit: string): string {
  return [textAt(root, unit) ?? '', ...unitFiles(root, unit).values()]
    .join('\n')
    .replace(/^\s*[#;].*$/gm, '');
}

/** The same of a service, wherever its unit is. */
export function serviceText(root: string, service: string): string {
  return unitText(root, unitOf(root, service) ?? `${unitFolders[0]}/${service}.service`);
}

/** Undefined where there is none. */
export function unitOf(root: string, service: string): string | undefined {
  return firstAt(root, pathsOfService(service));
}

function pathsOfService(service: string): string[] {
  return unitFolders.map((folder) => `${folder}/${service}.service`);
}

function environmentsOf(text: string, dropIns: Texts): string[] {
  return [text, ...dropIns.values()].flatMap((each) =>
    [...each.matchAll(/^EnvironmentFile=-?(\/[^\s*?]+)/gm)].map(([, file = '']) => file),
  );
}
