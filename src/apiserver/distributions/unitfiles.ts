// What systemd reads of a unit: its drop-ins, and the environment files that they name.
import { pathsIn, textAt, textsAt } from '../hostfiles.ts';
import type { Texts } from './distribution.ts';

export const unitPaths = [
  '/etc/systemd/system/kube-apiserver.service',
  '/run/systemd/system/kube-apiserver.service',
  '/usr/local/lib/systemd/system/kube-apiserver.service',
  '/usr/lib/systemd/system/kube-apiserver.service',
  '/lib/systemd/system/kube-apiserver.service',
] as const;

export const unitDropIn = '/etc/systemd/system/kube-apiserver.service.d/50-kleidi.conf';

/** Drop-ins of the unit but for ours, and the environment files that they name. */
export function unitFiles(root: string, unit: string): Texts {
  const dropIns = textsAt(
    root,
    unitPaths.flatMap((path) => pathsIn(root, `${path}.d`, /\.conf$/)),
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

function environmentsOf(text: string, dropIns: Texts): string[] {
  return [text, ...dropIns.values()].flatMap((each) =>
    [...each.matchAll(/^EnvironmentFile=-?(\/[^\s*?]+)/gm)].map(([, file = '']) => file),
  );
}
