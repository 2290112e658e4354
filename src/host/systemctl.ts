// Asking systemd, where there is one. Reads only.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const timeoutMs = 10_000;

export type UnitProperties = Readonly<Record<string, string>>;

/** Undefined where systemctl is missing or systemd is not running. */
export async function showUnit(
  unit: string,
  properties: readonly string[],
): Promise<UnitProperties | undefined> {
  const text = await systemctl(['show', unit, `--property=${properties.join(',')}`]);
  return text === undefined ? undefined : parseProperties(text);
}

/** As NAME=VALUE lines; a value may hold `=`. */
export function parseProperties(text: string): UnitProperties {
  const pairs = text.split('\n').map((line) => /^([A-Za-z]+)=(.*)$/.exec(line));
  return Object.fromEntries(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1], pair[2]]])));
}

/** Undefined where there is no systemctl. */
export async function systemdVersion(): Promise<number | undefined> {
  const [, version] = /^systemd (\d+)/.exec((await systemctl(['--version'])) ?? '') ?? [];
  return version === undefined ? undefined : Number(version);
}

async function systemctl(args: readonly string[]): Promise<string | undefined> {
  const options = { encoding: 'utf8', timeout: timeoutMs } as const;
  return run('systemctl', [...args], options).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}
