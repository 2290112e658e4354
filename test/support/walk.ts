// A procedure as an operator walks it over several machines, and what it asks of them:
// commands, strings that they bring from another machine, and files that they carry.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageFile } from './installed.ts';
import { recordShell } from './ran.ts';
import type { SystemHost } from './systemhost.ts';
import { type Answers, commandAtTerminal } from './terminal.ts';

const home = '/root';
const login = `cd ${home} && export KUBECONFIG=/etc/kubernetes/admin.conf`;
const state = '/var/lib/kleidi';
/** What a person compares or copies: fingerprints, digests, the word of a member. */
const strings = /(?:sha256:)?\b[0-9a-f]{8,}\b(?:@[A-Za-z0-9_-]+\.[0-9a-f]{8})?/g;

export class Machine {
  readonly name: string;
  readonly host: SystemHost;
  /** All that it has shown since the first walk. */
  shown = '';

  constructor(name: string, host: SystemHost) {
    this.name = name;
    this.host = host;
  }
}

export interface Counts {
  readonly commands: number;
  readonly strings: number;
  readonly files: number;
}

export class Walk {
  readonly #name: string;
  readonly #machines: readonly Machine[];
  /** What each machine had shown before the first step: that is not on its screen any more. */
  readonly #before = new Map<Machine, number>();
  readonly #commands: string[] = [];
  readonly #strings = new Set<string>();
  readonly #files = new Set<string>();

  constructor(name: string, machines: readonly Machine[]) {
    this.#name = name;
    this.#machines = machines;
  }

  /** @returns all that it has shown. @throws Error where it ends with another exit code */
  run(machine: Machine, command: string, expected = 0): string {
    this.#count(machine, command);
    const { exitCode, stdout, stderr } = machine.host.try(`${login}\n${command}`, {
      timeoutMs: 300_000,
    });
    return this.#record(machine, command, exitCode === expected ? 0 : exitCode, stdout + stderr);
  }

  /** A command of the operator that the test runs by other means. */
  counted(machine: Machine, command: string): void {
    this.#count(machine, command);
  }

  /** The same at a terminal, where a person answers. */
  async answer(machine: Machine, command: string, answers: Answers): Promise<string> {
    this.#count(machine, command);
    const clean = ['env', '-i', `HOME=${home}`, 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
    const shell = [...clean, 'sh', '-c', `${login}\n${command}`];
    const ran = await commandAtTerminal(answers, 'nsenter', ...machine.host.enter(), ...shell);
    recordShell(command, ran.exitCode);
    return this.#record(machine, command, ran.exitCode, ran.shown);
  }

  /** One command. install.conf is none, but what it takes from elsewhere counts. */
  install(machine: Machine, ...choices: readonly string[]): string {
    const text = choices.map((line) => `${line}\n`).join('');
    this.#countStrings(machine, text);
    machine.host.write('/etc/kleidi/install.conf', text, 0o600);
    return this.run(machine, `dpkg -i ${packageFile('deb')}`);
  }

  /** Each file once, however many machines it goes to. From the home of root, or of kleidi's state. */
  copy(from: Machine, to: Machine, ...files: readonly string[]): void {
    for (const file of files) {
      this.#files.add(`${from.name}:${file}`);
      const contents = readFileSync(from.host.outside(resolve(home, file)));
      to.host.write(join(home, file.replace(`${state}/`, '')), contents, 0o600);
    }
  }

  get counts(): Counts {
    return {
      commands: this.#commands.length,
      strings: this.#strings.size,
      files: this.#files.size,
    };
  }

  /** Every command in order, for a person who reads the report. */
  get report(): string {
    const { commands, strings: pasted, files } = this.counts;
    const total = `${this.#name}: ${commands} commands, ${pasted} strings, ${files} files carried`;
    return [total, ...this.#commands].join('\n  ');
  }

  #count(machine: Machine, command: string): void {
    this.#countStrings(machine, command);
    this.#commands.push(`${machine.name}# ${command.replace(/[0-9a-f]{24,}/g, '…')}`);
  }

  #countStrings(machine: Machine, text: string): void {
    if (this.#before.size === 0) {
      for (const each of this.#machines) this.#before.set(each, each.shown.length);
    }
    const own = machine.shown.slice(this.#before.get(machine));
    for (const [found] of text.matchAll(strings)) {
      const bare = found.replace('sha256:', '');
      if (own.includes(bare)) continue;
      const isKnown = this.#machines.some(({ shown }) => shown.includes(bare));
      if (!isKnown) throw new Error(`no machine has shown ${found}: ${text}`);
      this.#strings.add(bare);
    }
  }

  #record(machine: Machine, command: string, exitCode: number | null, shown: string): string {
    machine.shown += shown;
    if (exitCode === 0) return shown;
    throw new Error(`${this.#name}, ${machine.name}: ${command}\nexit ${exitCode}\n${shown}`);
  }
}

/** What a machine has shown ready to paste. @throws Error where it has not */
export function pasted(shown: string, form: RegExp): string {
  const [found] = form.exec(shown) ?? [];
  if (found === undefined) throw new Error(`${form} is not in:\n${shown}`);
  return found.trim();
}
