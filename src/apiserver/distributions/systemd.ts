// A kube-apiserver that systemd runs: a drop-in repeats its command with our
// flags, so that the unit itself stays as it is.
import { KleidiError } from '../../errors.ts';
import { configFlag, flagsOf, joined, type Paths, reloadFlag, requireOwnFlag } from '../flags.ts';
import { firstAt, textAt } from '../hostfiles.ts';
import { unitProperties } from '../unitproperties.ts';
import type { Distribution, Found, Texts } from './distribution.ts';
import { adminConf } from './kubeadm.ts';
import { unitDropIn, unitFiles, unitPaths, unitText } from './unitfiles.ts';

export const systemd: Distribution = {
  name: 'unit',
  flagFile: unitDropIn,
  restart: 'systemctl daemon-reload && systemctl restart kube-apiserver',
  service: 'kube-apiserver',
  readsChangesItself: true,
  kubeconfig: adminConf,
  kubeconfigIsOwn: false,
  ownKeys: undefined,
  clusterObject: undefined,
  find: (root) => firstAt(root, unitPaths),
  isFlagged: (text, { config }) => text.includes(config),
  textsBeside: (root, unit) =>
    new Map([[unit, textAt(root, unit) ?? ''], ...unitFiles(root, unit)]),
  enabled: dropInText,
  disabled: () => undefined,
  /** Where systemd does not answer, it is taken to have the old flags. */
  hasLoaded: (root, config, show = () => unitProperties('kube-apiserver', 'ExecStart')) =>
    root === '/' && (show()?.includes(config) ?? true),
  flagText: unitText,
};

function dropInText({ evidence: path, beside: all }: Found, paths: Paths): string {
  const text = all.get(path) ?? '';
  const beside = new Map([...all].filter(([where]) => where !== path));
  const command = commandOf(text, path);
  for (const [where, each] of [[path, command] as const, ...beside])
    requireOwnFlag(joined(each.split(/[\s"'\\]+/)), where, paths);
  requirePlainCommand(command, path);
  requireNoOtherCommand(beside);
  requireRootUnit([text, ...beside.values()], path);
  const flags = flagsOf(paths).map(({ argument }) => argument);
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

/** Flags behind a shell would be the shell's. */
function requirePlainCommand(command: string, path: string): void {
  const [program = ''] = command.replace(/^[-@:+!|]+/, '').split(/\s+/);
  if (/(apiserver|hyperkube)[^/]*$/.test(program) && !/\s;(\s|$)/.test(command)) return;
  throw new KleidiError('refused', `${path} starts ${program}, not kube-apiserver itself`, {
    hint: `add the flags there by hand: ${configFlag}=… and ${reloadFlag}=true`,
  });
}

/** Ours repeats the unit's command; another drop-in's would be lost, or would win. */
function requireNoOtherCommand(beside: Texts): void {
  const other = [...beside].find(([, text]) => /^ExecStart=/m.test(text));
  if (other === undefined) return;
  throw new KleidiError('refused', `${other[0]} changes the command of kube-apiserver, too`, {
    hint: 'make that change in the unit itself, or add the flags of kleidi there by hand',
  });
}

function requireRootUnit(texts: readonly string[], path: string): void {
  const user = texts
    .flatMap((text) => [...text.matchAll(/^User=(.*)$/gm)])
    .at(-1)?.[1]
    ?.trim();
  if (user === undefined || ['', 'root', '0'].includes(user)) return;
  throw new KleidiError('refused', `kube-apiserver of ${path} runs as user ${user}, not as root`, {
    hint: 'it could read neither the EncryptionConfiguration nor the socket: run it as root, or set it up by hand (/usr/share/doc/kleidi/operations.md)',
  });
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
