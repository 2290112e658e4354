// The folders of a host that a container of kleidi works in, and whose they are. The kubelet
// makes a folder that is missing as root's: a first container gives it to kleidi, and takes none
// that somebody else has filled, such as kleidi's own packages.

/** Of the user in the image: above those that a distribution gives to its own. */
export const containerId = 10_650;

export const hostFolders = [
  { name: 'credentials', path: '/etc/kleidi/credentials', mode: 0o700 },
  { name: 'run', path: '/run/kleidi', mode: 0o750 },
  { name: 'state', path: '/var/lib/kleidi', mode: 0o700 },
] as const;

const modes = `{ ${hostFolders.map(({ path, mode }) => `'${path}': 0o${mode.toString(8)}`).join(', ')} }`;

/** A program for Node, which runs as root with no capability but CHOWN. Safe to repeat. */
export const takeFolders = `const fs = require('node:fs');
for (const [path, mode] of Object.entries(${modes})) {
  const { uid, gid } = fs.statSync(path);
  if (uid === ${containerId} && gid === ${containerId}) continue;
  if (fs.readdirSync(path).length > 0) {
    console.error('kleidi: error: ' + path + ' is not empty, and belongs to ' + uid + ':' + gid);
    console.error('kleidi: hint: kleidi takes no folder of another; remove its package from this host first');
    process.exit(1);
  }
  fs.chmodSync(path, mode);
  fs.chownSync(path, ${containerId}, ${containerId});
}`;
