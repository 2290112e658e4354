// The package scripts, each as one self-contained shell text: what it
// shares, then its own part. dpkg and rpm run the same text; it tells them apart
// by its first argument (a word or a number).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './program.ts';

/** A part of packaging/scripts, and the parts that come before it. */
export interface HostScript {
  readonly name: string;
  readonly shared: readonly string[];
}

export interface Scriptlet extends HostScript {
  /** Undefined where dpkg needs none. */
  readonly deb: string | undefined;
  readonly rpm: string;
}

/** Which API servers of this host need kleidi, by files and processes. */
const guard = ['flags', 'starts', 'guard'];

export const scriptlets: readonly Scriptlet[] = [
  { name: 'before-install', deb: 'preinst', rpm: '%pre', shared: ['prelude'] },
  {
    name: 'after-install',
    deb: 'postinst',
    rpm: '%post',
    shared: ['prelude', 'selinux', 'provision', 'next', 'finish'],
  },
  { name: 'before-remove', deb: 'prerm', rpm: '%preun', shared: ['prelude', ...guard, 'known'] },
  {
    name: 'after-remove',
    deb: 'postrm',
    rpm: '%postun',
    shared: ['prelude', ...guard, 'selinux'],
  },
  {
    name: 'after-transaction',
    deb: undefined,
    rpm: '%posttrans',
    shared: ['prelude', 'provision', 'next', 'finish'],
  },
];

/** Installed as /usr/lib/kleidi/first-boot. */
export const firstBoot: HostScript = {
  name: 'first-boot',
  shared: ['prelude', 'provision', 'next'],
};

/** @param hostRoot another root folder than the host's own, for tests */
export function scriptText({ name, shared }: HostScript, hostRoot = ''): string {
  const read = (part: string): string =>
    readFileSync(join(root, 'packaging/scripts', `${part}.sh`), 'utf8');
  return ['#!/bin/sh\nset -eu\n', ...[...shared, name].map(read)]
    .join('\n')
    .replace(/^root=$/m, `root=${hostRoot}`);
}
