// The flags of kube-apiserver that name the EncryptionConfiguration.
import { KleidiError } from '../errors.ts';

export const configFlag = '--encryption-provider-config';
export const reloadFlag = '--encryption-provider-config-automatic-reload';

export interface Paths {
  readonly socket: string;
  /** The EncryptionConfiguration. */
  readonly config: string;
}

export interface Flag {
  readonly name: string;
  readonly value: string;
  readonly argument: string;
}

/** What kleidi adds to the command of kube-apiserver. */
export function flagsOf({ config }: Paths): readonly Flag[] {
  const flags = [
    { option: configFlag, value: config },
    { option: reloadFlag, value: 'true' },
  ];
  return flags.map(({ option, value }) => ({
    name: option.slice(2),
    value,
    argument: `${option}=${value}`,
  }));
}

/** `--flag value` as `--flag=value`: kube-apiserver takes both. */
export function joined(args: readonly string[]): string[] {
  return args.map((arg, i) =>
    arg === configFlag && args[i + 1] !== undefined ? `${arg}=${args[i + 1]}` : arg,
  );
}

/** @throws KleidiError refused where another file is in use: it must be merged, not left behind */
export function requireOwnFlag(args: readonly string[], where: string, { config }: Paths): void {
  const other = args
    .filter((arg) => arg.startsWith(`${configFlag}=`))
    .map((arg) => arg.slice(configFlag.length + 1))
    .find((path) => path !== config);
  if (other === undefined) return;
  throw new KleidiError('refused', `${where} already names an EncryptionConfiguration: ${other}`, {
    hint: `set encryptionConfig: ${other} in kleidi.yaml, and run the command again: kleidi is then merged into that file`,
  });
}
