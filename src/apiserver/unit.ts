// A kube-apiserver that systemd runs: a drop-in repeats its command with our
// flags, so that the unit itself stays as it is.
import { KleidiError } from '../errors.ts';
import { configFlag, type Paths, reloadFlag, requireOwnFlag } from './flags.ts';

export const unitPaths = [
  '/etc/systemd/system/kube-apiserver.service',
  '/usr/lib/systemd/system/kube-apiserver.service',
  '/lib/systemd/system/kube-apiserver.service',
] as const;

export const unitDropIn = '/etc/systemd/system/kube-apiserver.service.d/50-kleidi.conf';

/** @throws KleidiError refused */
export function unitDropInText(text: string, path: string, paths: Paths): string {
  const command = commandOf(text, path);
  requireOwnFlag(
    command.split(/\s+/).map((word) => word.replace(/["']/g, '')),
    path,
    paths,
  );
  const flags = [`${configFlag}=${paths.config}`, `${reloadFlag}=true`];
  const missing = flags.filter((flag) => !command.includes(flag));
  return `# Written by kleidi apiserver; removed by kleidi apiserver disable. Repeats the
# command of ${path}: after a change there, run kleidi apiserver enable again.
[Unit]
Wants=kleidi.socket
After=kleidi.socket

[Service]
ExecStart=
ExecStart=${[command, ...missing].join(' \\\n  ')}
`;
}

/** The last ExecStart= counts; a line that ends in a backslash goes on. */
function commandOf(text: string, path: string): string {
  const lines = text.replace(/\\\n\s*/g, '\\\n  ').split(/\n(?!\s)/);
  const command = lines
    .filter((line) => line.startsWith('ExecStart='))
    .map((line) => line.slice('ExecStart='.length).trim())
    .at(-1);
  if (command !== undefined && command !== '') return command;
  throw new KleidiError('refused', `${path} has no ExecStart=`, {
    hint: 'is it the unit of a kube-apiserver? nothing was changed',
  });
}
