// Run inside the sandbox of kleidi.service by the packaged runtime: what its user can
// see, reach and write there. Prints one JSON object. Only Node's own modules.

import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';

export interface Probed {
  /** Folders in which a file could be made. */
  readonly writable: readonly string[];
  /** What the daemon's own folder takes before it is full. */
  readonly folderBytes: number;
  readonly folderFiles: number;
  /** Sockets that can be seen, by path. */
  readonly sockets: readonly string[];
  /** The paths of the arguments, and what connecting to each gives. */
  readonly reached: Readonly<Record<string, string>>;
  /** Mount points by what they allow: `ro` or `rw`. */
  readonly mounts: Readonly<Record<string, string>>;
  readonly processes: number;
  readonly capabilities: string | undefined;
  /** A deed, and `done` or why it was not. */
  readonly tried: Readonly<Record<string, string>>;
}

const daemonFolder = '/run/kleidi-daemon';
/** The kernel's own: nothing in them holds data of ours. */
const skipped = ['/proc', '/sys'];

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

function attempt(deed: () => unknown): string {
  try {
    deed();
    return 'done';
  } catch (error) {
    return codeOf(error);
  }
}

function probeTree(): Pick<Probed, 'writable' | 'sockets'> {
  const writable: string[] = [];
  const sockets: string[] = [];
  const folders = ['/'];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const file = join(folder, '.probe');
    if (attempt(() => writeFileSync(file, '')) === 'done') {
      writable.push(folder);
      attempt(() => unlinkSync(file));
    }
    for (const path of listed(folder)) {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat?.isSocket() === true) sockets.push(path);
      if (stat?.isDirectory() === true && !skipped.includes(path)) folders.push(path);
    }
  }
  return { writable: writable.sort(), sockets: sockets.sort() };
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function fill(): Pick<Probed, 'folderBytes' | 'folderFiles'> {
  const folder = join(daemonFolder, 'probe');
  mkdirSync(folder);
  let folderBytes = 0;
  let folderFiles = 0;
  const block = Buffer.alloc(4096);
  try {
    for (; folderFiles < 100_000; folderFiles++) writeFileSync(join(folder, `f${folderFiles}`), '');
  } catch {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
  }
  try {
    for (; folderBytes < 1 << 30; folderBytes += block.length)
      writeFileSync(join(folder, 'fill'), block, { flag: 'a' });
  } catch {
    rmSync(folder, { recursive: true });
  }
  return { folderBytes, folderFiles };
}

function mounts(): Record<string, string> {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  // The last mount at a point is the one that is seen.
  return Object.fromEntries(
    lines.map((line) => {
      const [, , , , point = '', options = ''] = line.split(' ');
      return [point, options.split(',')[0] ?? ''];
    }),
  );
}

function reach(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path: path.replace(/^@/, '\0') });
    socket.on('connect', () => resolve('done')).on('error', (error) => resolve(codeOf(error)));
    socket.on('connect', () => socket.destroy());
  });
}

function inet(): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer().on('error', (error) => resolve(codeOf(error)));
    server.listen(0, '127.0.0.1', () => server.close(() => resolve('done')));
  });
}

const tried = {
  'write token folder': attempt(() => writeFileSync('/var/lib/kleidi/tokens/x', '')),
  'write ring': attempt(() => writeFileSync('/var/lib/kleidi/ring.json', '')),
  'write configuration': attempt(() => writeFileSync('/etc/kleidi/kleidi.yaml', '')),
  'write program': attempt(() => writeFileSync('/usr/lib/kleidi/kleidi.js', '')),
  'write a new library': attempt(() => writeFileSync('/usr/lib/x.so', '')),
  'read bundles': attempt(() => readdirSync('/var/lib/kleidi/bundles')),
  'read the cluster keys': attempt(() => readdirSync('/etc/kubernetes')),
  'read root': attempt(() => readdirSync('/root')),
  'read SO PIN': attempt(() => readFileSync('/etc/kleidi/credentials/so-pin.cred')),
  'read the host key': attempt(() => readFileSync('/var/lib/systemd/credential.secret')),
  'see the first process': attempt(() => readFileSync('/proc/1/cmdline')),
  shell: spawnSync('/bin/sh', ['-c', 'true']).error === undefined ? 'done' : 'EACCES',
  inet: await inet(),
};
const reached: Record<string, string> = {};
for (const path of process.argv.slice(2)) reached[path] = await reach(path);
const probed: Probed = {
  tried,
  reached,
  ...probeTree(),
  ...fill(),
  mounts: mounts(),
  processes: readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name)).length,
  capabilities: /CapBnd:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1],
};
process.stdout.write(`${JSON.stringify(probed)}\n`);
