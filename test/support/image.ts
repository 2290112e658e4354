// An image as a build makes one: a chroot in the base tree of a suite, where no
// systemd runs. What the commands change is a layer that hosts boot from.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { folderInHost } from './installed.ts';
import { rigFolder } from './madeonce.ts';
import { packagesFolder } from './packages.ts';
import { baseTree, type Suite } from './systemhost.ts';

/** In a mount namespace of its own, which ends with the command. */
const build = `mount -t overlay image -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mkdir -p ".$4"
mount --bind "$3" ".$4"
mount -t proc proc proc
exec chroot . sh -ec "$5"`;
const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C' };

/** @returns the layer; gone at the end of the process */
export function buildImage(name: string, suite: Suite, command: string): string {
  const folder = join(rigFolder, 'run', `image-${process.pid}-${name}`);
  for (const part of ['upper', 'work', 'root']) mkdirSync(join(folder, part), { recursive: true });
  // Not in a hook: those run in order, and the clones that still run come later.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const values = [baseTree(suite), folder, packagesFolder, folderInHost, command];
  const shell = ['--mount', '--propagation', 'private', 'sh', '-ec', build, 'image', ...values];
  const { status, stdout, stderr } = spawnSync('unshare', shell, { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`${command}\nexit ${status}\n${stdout}${stderr}`);
  return join(folder, 'upper');
}
