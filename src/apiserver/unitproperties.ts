// What systemd has loaded of a unit of this host, and what it knows of its process. Reads only.
import { spawnSync } from 'node:child_process';

const timeoutMs = 10_000;

/** NAME=VALUE lines; undefined where systemd cannot be asked. */
export function unitProperties(service: string, ...names: readonly string[]): string | undefined {
  const { stdout, status } = spawnSync(
    'systemctl',
    ['show', `${service}.service`, `--property=${names.join(',')}`],
    { encoding: 'utf8', timeout: timeoutMs },
  );
  return status === 0 ? stdout : undefined;
}
