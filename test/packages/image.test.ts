// The package scripts in an image that is being built: no systemd runs there, or
// the one that /run shows is that of the host that builds it.
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../support/folder.ts';
import { ScriptHost } from '../support/scripthost.ts';

const provision = 'kleidi provision --choices /etc/kleidi/install.conf';

/** How a root folder differs from that of a booted host. */
const images: Readonly<Record<string, (host: ScriptHost) => void>> = {
  'no systemd runs': (host) => host.delete('run/systemd'),
  'a booted host that is to be an image: SYSTEMD_OFFLINE=1': (host) =>
    host.set('SYSTEMD_OFFLINE', '1'),
  'a chroot that sees /run': (host) => {
    host.delete('proc/1/root');
    symlinkSync(temporaryFolder(), join(host.root, 'proc/1/root'));
  },
  'a chroot that sees /run and has no /proc': (host) => host.delete('proc'),
  'a chroot that sees /run, in a PID namespace': (host) => host.write('proc/1/comm', 'dpkg\n'),
};

function imageHost(change: (host: ScriptHost) => void): ScriptHost {
  const host = new ScriptHost();
  host.tool('systemctl', 0, `echo "offline=$SYSTEMD_OFFLINE" >>"\${0%/*}/calls"`);
  change(host);
  return host;
}

for (const [name, change] of Object.entries(images)) {
  for (const [manager, args] of [
    ['dpkg', ['configure', '']],
    ['rpm', ['1']],
  ] as const) {
    test(`${name}, ${manager}: it enables, makes no key and starts nothing`, () => {
      const host = imageHost(change);
      host.run('before-install', ['install']);
      const { exitCode, calls, stderr } = host.run('after-install', args);
      assert.equal(exitCode, 0, stderr);
      assert.deepEqual(calls, [
        'systemd-sysusers kleidi.conf',
        'systemd-tmpfiles --create --exclude-prefix=/run kleidi.conf',
        'journalctl --update-catalog',
        'systemctl --no-reload preset kleidi.socket kleidi.service kleidi-first-boot.service',
        'offline=1',
      ]);
      assert.match(stderr, /kleidi-first-boot\.service provisions at the first boot/);
    });
  }

  test(`${name}: an upgrade restarts nothing, a removal stops nothing, a purge leaves /run`, () => {
    const host = imageHost(change);
    host.write('run/kleidi-daemon/refused-pin');
    const { calls } = host.run('after-install', ['configure', '1.0']);
    assert.ok(!calls.some((call) => call.startsWith('systemctl')), calls.join());
    assert.deepEqual(host.run('before-remove', ['remove']).calls, [
      'systemctl --no-reload disable kleidi.socket kleidi.service kleidi-first-boot.service kleidi-metrics.socket',
      'offline=1',
    ]);
    assert.deepEqual(host.run('after-remove', ['remove']).calls, ['journalctl --update-catalog']);
    host.run('after-remove', ['purge'], { KLEIDI_PURGE_KEYS: 'yes' });
    assert.ok(host.has('run/kleidi-daemon/refused-pin'));
  });

  test(`${name}: the SELinux policy of the host that builds it is left alone`, () => {
    const host = imageHost(change);
    host.run('before-install', ['1']);
    for (const tool of ['semodule', 'selinuxenabled', 'load_policy', 'restorecon']) {
      host.tool(tool, 0);
    }
    host.write('usr/share/selinux/packages/kleidi.pp');
    const { calls } = host.run('after-install', ['1']);
    assert.ok(calls.some((call) => call.startsWith('semodule -n ')));
    assert.ok(!calls.includes('load_policy '), calls.join());
  });
}

test("where root cannot follow PID 1's root, the host is booted as far as is known", () => {
  const host = new ScriptHost();
  host.delete('proc/1/root');
  symlinkSync('/nonexistent', join(host.root, 'proc/1/root'));
  assert.ok(host.run('after-install', ['1']).calls.includes(provision));
});

const note = 'var/lib/kleidi.first-boot';

/** Installed in an image, then booted. */
function cloneHost(): ScriptHost {
  const host = new ScriptHost();
  host.delete('run/systemd');
  assert.equal(host.run('before-install', ['install']).exitCode, 0);
  assert.equal(host.run('after-install', ['configure', '']).exitCode, 0);
  assert.ok(host.has(note) && !host.has('var/lib/kleidi.unfinished'));
  host.write('run/systemd/system/.keep');
  return host;
}

test('the first boot provisions once, and starts and enables nothing by itself', () => {
  const host = cloneHost();
  const { exitCode, calls } = host.run('first-boot', []);
  assert.equal(exitCode, 0);
  assert.deepEqual(calls, [provision]);
  assert.ok(!host.has(note));
});

test('ROLE=offline in an image: no unit is enabled, and no boot begins anything', () => {
  const host = new ScriptHost();
  host.choose('ROLE=offline');
  host.delete('run/systemd');
  host.run('before-install', ['install']);
  const { exitCode, calls } = host.run('after-install', ['configure', '']);
  assert.equal(exitCode, 0);
  const units = calls.filter((call) => call.startsWith('systemctl'));
  assert.deepEqual(units, [
    'systemctl --no-reload disable kleidi.socket kleidi.service kleidi-first-boot.service',
  ]);
  assert.ok(!host.has(note) && !host.has('var/lib/kleidi.unfinished'));
});

test('mistakes in the install.conf of an image are told when it is built', () => {
  const host = new ScriptHost();
  host.write('etc/kleidi/install.conf', 'RNG=prod');
  host.tool('kleidi', 78, 'echo "kleidi: error: line 1: RNG" >&2');
  host.delete('run/systemd');
  host.run('before-install', ['install']);
  const { exitCode, calls, stderr } = host.run('after-install', ['configure', '']);
  assert.equal(exitCode, 0);
  assert.match(
    stderr,
    /^kleidi: error: line 1: RNG\nkleidi: warning: the first boot provisions noth/,
  );
  assert.ok(calls.every((call) => !call.startsWith('kleidi') || call.endsWith(' --check')));
  assert.ok(host.has(note));
});

test('ROLE=offline that comes into a clone: its first boot disables and stops what the image had', () => {
  const host = cloneHost();
  host.choose('ROLE=offline');
  const { exitCode, calls } = host.run('first-boot', []);
  assert.equal(exitCode, 0);
  assert.deepEqual(calls, [
    `${provision} --check`,
    'systemctl --no-reload disable kleidi.socket kleidi.service kleidi-first-boot.service',
    'systemctl daemon-reload',
    'systemctl --no-block stop kleidi.socket kleidi.service',
    provision,
    `${provision} --check`,
  ]);
  assert.ok(!host.has(note));
});

test('a first boot that fails says why, and tries again at the next', () => {
  const host = cloneHost();
  host.tool('kleidi', 1, 'echo "kleidi: error: no module" >&2');
  const { exitCode, calls, stderr } = host.run('first-boot', []);
  assert.equal(exitCode, 1);
  assert.deepEqual(calls, [provision]);
  assert.match(stderr, /no module[\s\S]*nothing was provisioned[\s\S]*hint: /);
  assert.ok(host.has(note));
});

test('an image that is upgraded still provisions at its first boot; one installed again or purged does not', () => {
  const host = cloneHost();
  host.delete('run/systemd');
  assert.equal(host.run('after-install', ['configure', '1.0']).exitCode, 0);
  assert.ok(host.has(note));
  for (const [script, args] of [
    ['after-remove', ['remove']],
    ['after-remove', ['0']],
  ] as const) {
    const removed = cloneHost();
    removed.run(script, args);
    assert.ok(!removed.has(note), `${script} ${args}`);
  }
  const booted = cloneHost();
  booted.run('before-install', ['1']);
  booted.run('after-install', ['2']);
  booted.run('after-transaction', []);
  assert.ok(!booted.has(note));
});
