// Trees and disks that a script of this project makes in minutes, kept for later runs.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const rigFolder = process.env['KLEIDI_RIG_DIR'] ?? '/var/tmp/kleidi-rig';

/**
 * Made where it is missing, by one process at a time.
 * @param command runs the script; the folder to make is its last argument
 * @param from what else than the script it depends on
 * @returns the folder, named by name and version of what it is made from
 */
export function madeOnce(
  name: string,
  script: string,
  command: readonly string[],
  from = '',
): string {
  const digest = createHash('sha256').update(readFileSync(script)).update(from).digest('hex');
  const folder = join(rigFolder, `${name}-${digest.slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(rigFolder, { recursive: true });
  const unlessMade = `for made; do :; done; [ -d "$made" ] || exec "$@"`;
  const lock = join(rigFolder, `${name}.lock`);
  const args = [lock, 'sh', '-c', unlessMade, name, ...command, folder];
  const { status } = spawnSync('flock', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${script} made no ${name}`);
  return folder;
}
