// A folder that a package script takes for the root of a host, with stand-ins
// for the host's tools that note how they were called. The scripts are the ones
// that are packed; what systemd does with the calls is shown by test/system.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { firstBoot, scriptlets, scriptText } from '../../packaging/scriptlets.ts';
import { temporaryFolder } from './folder.ts';

export interface ScriptResult {
  readonly exitCode: number | null;
  readonly stderr: string;
  /** The calls of the host's tools, in order, with paths as the host would have them. */
  readonly calls: readonly string[];
}

/** All that the scripts may rely on; this machine's own tools are out of reach. */
const basics = 'sh bash rm grep sed tr head ls cp mkdir rmdir cat sort date timeout'.split(' ');
const tools = ['systemctl', 'systemd-sysusers', 'systemd-tmpfiles', 'journalctl', 'kleidi'];

export class ScriptHost {
  readonly root = temporaryFolder();
  readonly #tools = temporaryFolder();
  readonly #shell: string;
  readonly #env: Record<string, string> = {};

  constructor(shell = 'sh') {
    this.#shell = shell;
    for (const basic of basics) {
      const path = ['/bin', '/usr/bin'].map((folder) => join(folder, basic)).find(existsSync);
      if (path !== undefined) symlinkSync(path, join(this.#tools, basic));
    }
    for (const tool of tools) this.tool(tool, 0);
    mkdirSync(join(this.root, 'run/systemd/system'), { recursive: true });
    this.write('proc/1/comm', 'systemd\n');
    symlinkSync(this.root, join(this.root, 'proc/1/root'));
  }

  /** A tool of the host, and how it ends. */
  tool(name: string, exitStatus: number, output = ''): void {
    const path = join(this.#tools, name);
    const script = `#!/bin/sh\necho "${name} $*" >>'${this.#tools}/calls'\n${output}\nexit ${exitStatus}\n`;
    // One of the basics is a link to this machine's own.
    rmSync(path, { force: true });
    writeFileSync(path, script);
    chmodSync(path, 0o755);
  }

  /** What kleidi finds in install.conf, when the scripts have it look there. */
  choose(...lines: readonly string[]): void {
    this.write('etc/kleidi/install.conf', lines.join('\n'));
    this.tool('kleidi', 0, `case "$*" in *--check) printf '%s\\n' ${lines.join(' ')} ;; esac`);
  }

  /** A variable in the environment of every script. */
  set(name: string, value: string): void {
    this.#env[name] = value;
  }

  write(path: string, text = ''): void {
    const at = join(this.root, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, text);
  }

  allow(path: string, mode: number): void {
    chmodSync(join(this.root, path), mode);
  }

  /** Tools that this host does not have. */
  forget(...names: string[]): void {
    for (const name of names) rmSync(join(this.#tools, name));
  }

  delete(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true });
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  /** @param name as in packaging/scripts: before-install, after-install, … */
  run(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ScriptResult {
    const scriptlet = [...scriptlets, firstBoot].find((each) => each.name === name);
    if (scriptlet === undefined) throw new Error(`no package script ${name}`);
    const calls = join(this.#tools, 'calls');
    writeFileSync(calls, '');
    const script = join(this.#tools, `${name}.script`);
    writeFileSync(script, scriptText(scriptlet, this.root));
    const { status, stderr } = spawnSync(this.#shell, [script, ...args], {
      env: { PATH: this.#tools, ...this.#env, ...env },
      encoding: 'utf8',
    });
    const lines = readFileSync(calls, 'utf8').split('\n').slice(0, -1);
    const seen = (line: string): string => line.replaceAll(this.root, '');
    return { exitCode: status, stderr, calls: lines.map(seen) };
  }
}
