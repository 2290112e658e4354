// Each package script killed at each of its steps, before and after the step is
// done; then a reboot, and what dpkg or rpm calls next. The host ends as one where
// nothing was killed: set up whole, or removed with its keys kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScriptHost } from '../support/scripthost.ts';

type Call = readonly [script: string, ...args: string[]];
type When = 'before' | 'after';

const unfinished = 'var/lib/kleidi.unfinished';
const firstBoot = 'var/lib/kleidi.first-boot';
const token = 'var/lib/kleidi/tokens/a/token.object';
const setUp = ['enabled', 'running', token, 'configured'];

/** What a tool does to the host. */
const effects = {
  'systemd-sysusers': ':',
  'systemd-tmpfiles': ':',
  journalctl: ':',
  systemctl: `case "$*" in
    *preset*) : >"$root/enabled" ;;
    *disable*) rm -f "$root/enabled" ;;
    start*service | restart*service) : >"$root/running" ;;
    stop*) rm -f "$root/running" ;;
  esac`,
  kleidi: `case "$1" in
    provision)
      mkdir -p "$root/var/lib/kleidi/tokens/a"
      : >"$root/${token}"
      : >"$root/configured" ;;
  esac`,
  rm: 'rm "$@"',
  mkdir: 'mkdir "$@"',
} as const;

/** A host whose tools can kill the script that calls them. */
class FallingHost {
  readonly #host = new ScriptHost();

  constructor() {
    // Making and deleting files are steps, too.
    this.#host.forget('rm', 'mkdir');
    this.arm(0, 'before');
  }

  /** @param step number of the call of a tool that kills; 0 for none */
  arm(step: number, when: When): void {
    const count = `grep -vc ' is-active \\| status ' "\${0%/*}/calls"`;
    const kill = `case " $1 " in
      ' is-active ' | ' status ') ;; # a question, asked by a child of the script
      *) if [ "$(${count})" = ${step} ]; then kill -9 $PPID; exit 137; fi ;;
    esac`;
    for (const [name, effect] of Object.entries(effects)) {
      const steps = when === 'before' ? [kill, effect] : [effect, kill];
      this.#host.tool(
        name,
        0,
        ['PATH=/usr/bin:/bin', `root='${this.#host.root}'`, ...steps].join('\n'),
      );
    }
  }

  /** Stops at the first that is killed. @returns whether one was */
  call(calls: readonly Call[]): boolean {
    return calls.some(([script, ...args]) => this.#host.run(script, args).exitCode === null);
  }

  powerOff(): void {
    this.#host.delete('run');
  }

  reboot(): void {
    this.powerOff();
    this.#host.write('run/systemd/system/.keep');
    this.#host.delete('running');
    if (this.#host.has('enabled')) this.#host.write('running');
    if (this.#host.has(firstBoot)) this.#host.run('first-boot', []);
  }

  disable(): void {
    for (const each of ['enabled', 'running']) this.#host.delete(each);
  }

  state(): string[] {
    return [...setUp, unfinished, firstBoot].filter((path) => this.#host.has(path));
  }
}

interface Case {
  readonly name: string;
  /** What has been called before, to its end. */
  readonly before?: readonly Call[];
  /** The operator has disabled it since. */
  readonly disabled?: true;
  /** In an image that is booted after the kill. */
  readonly image?: true;
  /** Killed at each step of the last of these. */
  readonly killed: readonly Call[];
  readonly next: readonly Call[];
  readonly end: readonly string[];
}

const [preinst, postinst, prerm, postrm] = [
  'before-install',
  'after-install',
  'before-remove',
  'after-remove',
];
const debFirst: readonly Call[] = [
  [preinst, 'install'],
  [postinst, 'configure', ''],
];
const debRemoved: readonly Call[] = [...debFirst, [prerm, 'remove'], [postrm, 'remove']];
const debAgain: readonly Call[] = [
  [preinst, 'install', '1.0'],
  [postinst, 'configure', '1.0'],
];
const rpmFirst: readonly Call[] = [
  [preinst, '1'],
  [postinst, '1'],
];
const rpmReinstall: readonly Call[] = [
  [preinst, '2'],
  [postinst, '2'],
  [prerm, '1'],
  [postrm, '1'],
  ['after-transaction'],
];

const cases: readonly Case[] = [
  {
    name: 'dpkg: preinst of a first installation, tried again',
    killed: debFirst.slice(0, 1),
    next: [[postrm, 'abort-install'], ...debFirst],
    end: setUp,
  },
  {
    name: 'dpkg: postinst of a first installation, dpkg --configure -a',
    killed: debFirst,
    next: debFirst.slice(1),
    end: setUp,
  },
  {
    name: 'dpkg: postinst in an image, dpkg --configure -a once it is booted',
    image: true,
    killed: debFirst,
    next: debFirst.slice(1),
    end: setUp,
  },
  {
    name: 'rpm: %post in an image, reinstalled once it is booted',
    image: true,
    killed: rpmFirst,
    next: rpmReinstall,
    end: setUp,
  },
  {
    name: 'dpkg: preinst of an installation after a removal, tried again',
    before: debRemoved,
    killed: debAgain.slice(0, 1),
    next: [[postrm, 'abort-install', '1.0'], ...debAgain],
    end: setUp,
  },
  {
    name: 'dpkg: postinst of an installation after a removal, dpkg --configure -a',
    before: debRemoved,
    killed: debAgain,
    next: debAgain.slice(1),
    end: setUp,
  },
  {
    name: 'dpkg: postinst of an installation after a removal, then a newer package',
    before: debRemoved,
    killed: debAgain,
    next: [
      [prerm, 'upgrade', '2.0'],
      [preinst, 'upgrade', '1.0'],
      [postrm, 'upgrade', '2.0'],
      [postinst, 'configure', '1.0'],
    ],
    end: setUp,
  },
  {
    name: 'dpkg: an upgrade of what the operator has disabled',
    before: debFirst,
    disabled: true,
    killed: [
      [preinst, 'upgrade', '1.0'],
      [postinst, 'configure', '1.0'],
    ],
    next: [[postinst, 'configure', '1.0']],
    end: [token, 'configured'],
  },
  {
    name: 'dpkg: prerm of a removal, which dpkg takes back',
    before: debFirst,
    killed: [[prerm, 'remove']],
    next: [[postinst, 'abort-remove']],
    end: setUp,
  },
  {
    name: 'dpkg: prerm of a removal and dpkg with it, dpkg --configure -a',
    before: debFirst,
    killed: [[prerm, 'remove']],
    next: [[postinst, 'configure', '1.0']],
    end: setUp,
  },
  {
    name: 'dpkg: prerm of a removal, removed and purged then',
    before: debFirst,
    killed: [[prerm, 'remove']],
    next: [
      [prerm, 'remove'],
      [postrm, 'remove'],
      [postrm, 'purge'],
    ],
    end: [token, 'configured'],
  },
  {
    name: 'dpkg: postrm of a removal, installed from there: to dpkg an upgrade',
    before: [...debFirst, [prerm, 'remove']],
    killed: [[postrm, 'remove']],
    next: [
      [preinst, 'upgrade', '1.0'],
      [postinst, 'configure', '1.0'],
    ],
    end: setUp,
  },
  {
    name: 'dpkg: postrm of a purge, purged again',
    before: debRemoved,
    killed: [[postrm, 'purge']],
    next: [[postrm, 'purge']],
    end: [token, 'configured'],
  },
  {
    name: 'rpm: %pre of a first installation, tried again',
    killed: rpmFirst.slice(0, 1),
    next: rpmFirst,
    end: setUp,
  },
  {
    name: 'rpm: %post of a first installation, which rpm never runs again, reinstalled',
    killed: rpmFirst,
    next: rpmReinstall,
    end: setUp,
  },
  {
    name: 'rpm: %post of an upgrade of what the operator has disabled, reinstalled',
    before: rpmFirst,
    disabled: true,
    killed: rpmReinstall.slice(0, 2),
    next: rpmReinstall,
    end: [token, 'configured'],
  },
  {
    name: 'rpm: a reinstallation after an erase that was killed, to its %posttrans, again',
    before: [...rpmFirst, [prerm, '0']],
    killed: rpmReinstall,
    next: rpmReinstall,
    end: setUp,
  },
  {
    name: 'rpm: %preun of an erase, which rpm takes back, reinstalled',
    before: rpmFirst,
    killed: [[prerm, '0']],
    next: rpmReinstall,
    end: setUp,
  },
  {
    name: 'rpm: %preun of an erase, erased again',
    before: rpmFirst,
    killed: [[prerm, '0']],
    next: [
      [prerm, '0'],
      [postrm, '0'],
    ],
    end: [token, 'configured'],
  },
  {
    name: 'rpm: %postun of an erase, installed again',
    before: [...rpmFirst, [prerm, '0']],
    killed: [[postrm, '0']],
    next: rpmFirst,
    end: setUp,
  },
];

/** @returns whether a script was killed */
function play(
  { before, disabled, image, killed, next, end }: Case,
  step: number,
  when: When,
): boolean {
  const host = new FallingHost();
  if (image) host.powerOff();
  assert.equal(host.call([...(before ?? []), ...killed.slice(0, -1)]), false);
  if (disabled) host.disable();
  host.arm(step, when);
  const fell = host.call(killed.slice(-1));
  host.arm(0, when);
  host.reboot();
  if (fell) assert.equal(host.call(next), false);
  if (fell) assert.deepEqual(host.state(), end, `killed ${when} step ${step}`);
  return fell;
}

for (const each of cases) {
  test(`killed at each step: ${each.name}`, () => {
    for (const when of ['before', 'after'] as const) {
      let step = 1;
      while (play(each, step, when)) step += 1;
      assert.ok(step > 1 && step < 40, 'some are killed, not all');
    }
  });
}
