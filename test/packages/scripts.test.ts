// The package scripts on a made-up host: what they call at each step of dpkg
// and rpm, and what they leave alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScriptHost } from '../support/scripthost.ts';

const provision = 'kleidi provision --choices /etc/kleidi/install.conf';
const firstInstall = [
  'systemd-sysusers kleidi.conf',
  'systemd-tmpfiles --create kleidi.conf',
  'journalctl --update-catalog',
  'systemctl --no-reload preset kleidi.socket kleidi.service kleidi-first-boot.service',
  'systemctl daemon-reload',
  provision,
  'systemctl start kleidi.socket',
  'systemctl restart kleidi.service',
];
const upgrade = [
  'systemd-sysusers kleidi.conf',
  'systemd-tmpfiles --create kleidi.conf',
  'journalctl --update-catalog',
  'systemctl daemon-reload',
  'systemctl try-restart kleidi.service',
];

for (const shell of ['sh', 'bash']) {
  for (const [manager, first, next] of [
    ['dpkg', ['configure', ''], ['configure', '0.0.9']],
    ['rpm', ['1'], ['2']],
  ] as const) {
    test(`${manager}, ${shell}: a first installation provisions, enables and starts, in this order`, () => {
      const host = new ScriptHost(shell);
      const { exitCode, calls, stderr } = host.run('after-install', first);
      assert.equal(exitCode, 0, stderr);
      assert.deepEqual(calls, firstInstall);
    });

    test(`${manager}, ${shell}: an upgrade restarts the service once, never the socket, and makes no key`, () => {
      const host = new ScriptHost(shell);
      const scripts =
        manager === 'rpm' ? ['after-install', 'after-transaction'] : ['after-install'];
      const runs = scripts.map((script) => host.run(script, next));
      for (const { exitCode, stderr } of runs) assert.equal(exitCode, 0, stderr);
      const calls = runs.map((run) => run.calls);
      assert.deepEqual(calls.flat(), upgrade);
      assert.equal(calls.at(-1)?.at(-1), 'systemctl try-restart kleidi.service');
      assert.equal(calls.at(-1)?.at(-2), 'systemctl daemon-reload');
    });
  }
}

test('rpm: a first installation leaves nothing to the end of the transaction', () => {
  const host = new ScriptHost();
  host.run('after-install', ['1']);
  assert.deepEqual(host.run('after-transaction', ['1']).calls, []);
});

test('rpm: the restart of an upgrade comes when the files of the package before are gone', () => {
  const host = new ScriptHost();
  const inPost = host.run('after-install', ['2']).calls;
  assert.ok(!inPost.some((call) => /restart|daemon-reload/.test(call)), inPost.join('; '));
});

test('rpm: what was not set up to its end is started then, too', () => {
  const host = new ScriptHost();
  host.write('var/lib/kleidi.unfinished');
  const [inPost, after] = ['after-install', 'after-transaction'].map((name) =>
    host.run(name, ['2']),
  );
  assert.deepEqual(inPost?.calls, firstInstall.slice(0, -2));
  assert.deepEqual(after?.calls, ['systemctl daemon-reload', ...firstInstall.slice(-2)]);
  assert.ok(!host.has('var/lib/kleidi.unfinished'));
});

test('dpkg: an installation after a removal is a first one again, though dpkg names the old version', () => {
  const host = new ScriptHost();
  assert.equal(host.run('before-install', ['install', '0.1.0']).exitCode, 0);
  assert.deepEqual(host.run('after-install', ['configure', '0.1.0']).calls, firstInstall);
  assert.deepEqual(host.run('before-install', ['upgrade', '0.1.0']).calls, []);
  assert.deepEqual(host.run('after-install', ['configure', '0.1.0']).calls, upgrade);
});

test('what dpkg calls when it goes back changes nothing', () => {
  const host = new ScriptHost();
  for (const [script, word] of [
    ['after-install', 'abort-upgrade'],
    ['after-install', 'abort-remove'],
    ['after-install', 'abort-deconfigure'],
    ['after-install', 'triggered'],
    ['before-remove', 'failed-upgrade'],
    ['before-remove', 'deconfigure'],
    ['after-remove', 'abort-install'],
    ['after-remove', 'disappear'],
  ] as const) {
    const { exitCode, calls } = host.run(script, [word, '0.1.0']);
    assert.equal(exitCode, 0, `${script} ${word}`);
    assert.deepEqual(calls, [], `${script} ${word}`);
  }
});

const offline = [
  `${provision} --check`,
  'systemctl --no-reload disable kleidi.socket kleidi.service kleidi-first-boot.service',
  'systemctl daemon-reload',
  'systemctl --no-block stop kleidi.socket kleidi.service',
  provision,
  `${provision} --check`,
];

test('an offline machine gets no unit enabled and none started, by no installation and no upgrade', () => {
  for (const [args, next] of [
    [
      ['configure', ''],
      ['configure', '1.0'],
    ],
    [['1'], ['2']],
  ] as const) {
    const host = new ScriptHost();
    host.choose('ROLE=offline');
    host.run('before-install', ['install']);
    const { exitCode, calls, stderr } = host.run('after-install', args);
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(calls.slice(-offline.length), offline);
    assert.ok(!calls.some((call) => /preset|enable |(?:re)?start /.test(call)), calls.join('; '));
    assert.match(stderr, /next, .*:\n {2}kleidi recovery create --out recovery\n$/);
    const later = ['after-install', 'after-transaction'].flatMap(
      (name) => host.run(name, next).calls,
    );
    const starting = later.filter((call) => /preset|enable|start|kleidi provision/.test(call));
    assert.deepEqual(starting, ['systemctl try-restart kleidi.service'], 'only what runs');
  }
});

test('a reinstalled offline machine is set up anew, by rpm too', () => {
  const host = new ScriptHost();
  host.choose('ROLE=offline');
  host.write('var/lib/kleidi.unfinished');
  const { calls } = host.run('after-install', ['2']);
  assert.deepEqual(calls.slice(-offline.length), offline);
  assert.deepEqual(host.run('after-transaction', ['2']).calls, []);
  assert.ok(!host.has('var/lib/kleidi.unfinished'));
});

test('an offline machine that has a ring is told so, and not what to do next', () => {
  const host = new ScriptHost();
  const refusing = 'case "$*" in *--check) echo ROLE=offline; exit 0 ;; esac';
  host.write('etc/kleidi/install.conf');
  host.tool('kleidi', 1, refusing);
  const { exitCode, stderr } = host.run('after-install', ['configure', '']);
  assert.equal(exitCode, 0);
  assert.match(stderr, /nothing was provisioned/);
  assert.doesNotMatch(stderr, /next, /);
});

const rings = {
  'a first KEK': ['"generation": 1', /next, for the API server .*:\n {2}kleidi apiserver plan/],
  'no KEK yet': ['"generation": 0', /next, .*:\n {2}kleidi key request .*\n {2}kleidi join /],
} as const;
for (const [what, [generation, words]] of Object.entries(rings)) {
  test(`the last lines say what comes next with ${what}: 2 to 5, with commands to paste`, () => {
    const host = new ScriptHost();
    host.write('var/lib/kleidi/ring.json', `{ ${generation}, "keks": [] }\n`);
    const { stderr } = host.run('after-install', ['configure', '']);
    assert.match(stderr, words);
    const lines = stderr.slice(stderr.indexOf('kleidi: next')).trim().split('\n');
    assert.ok(lines.length >= 2 && lines.length <= 5, stderr);
    for (const line of lines) assert.match(line, /^(?:kleidi: next, .*:| {2}kleidi .*)$/);
    assert.deepEqual(
      host.run('after-install', ['configure', '1.0']).stderr.match(/next/g),
      null,
      'not after an upgrade',
    );
  });
}

test('the last lines say what a lost host key costs, where the KEK has no other way', () => {
  for (const [recovery, isSaid] of [
    ['null', true],
    [`"${'ab'.repeat(32)}"`, false],
  ] as const) {
    const host = new ScriptHost();
    host.write(
      'var/lib/kleidi/ring.json',
      `{ "generation": 1, "keks": [{ "recovery": ${recovery} }] }\n`,
    );
    const { stderr: said } = host.run('after-install', ['configure', '']);
    const cost =
      /warning: .*credential\.secret.* is lost\n.*hint: .*recovery create.*--recovery PUB.*\n.*next, /;
    assert.equal(cost.test(said), isSaid, said);
  }
});

test('a provision that fails leaves the package installed, and says what to do', () => {
  const host = new ScriptHost();
  host.tool('kleidi', 1, 'echo "kleidi: error: no module" >&2');
  const { exitCode, calls, stderr } = host.run('after-install', ['configure', '']);
  assert.equal(exitCode, 0);
  assert.match(
    stderr,
    /no module[\s\S]*nothing was provisioned[\s\S]*hint: .*kleidi provision --choices .*\/etc\/kleidi\/install\.conf\n/,
  );
  assert.doesNotMatch(stderr, /next, /);
  assert.deepEqual(calls.slice(-2), firstInstall.slice(-2), 'it runs, and serves once it is fixed');
});

test('a service that does not start does not fail the installation', () => {
  const host = new ScriptHost();
  host.tool('systemctl', 1);
  const { exitCode, stderr } = host.run('after-install', ['1']);
  assert.equal(exitCode, 0);
  assert.match(stderr, /hint: journalctl -u kleidi/);
});

test('policy-rc.d forbids starts and restarts', () => {
  const host = new ScriptHost();
  host.write('usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n');
  host.allow('usr/sbin/policy-rc.d', 0o755);
  assert.deepEqual(host.run('after-install', ['configure', '']).calls, firstInstall.slice(0, -2));
  assert.deepEqual(host.run('after-install', ['configure', '1']).calls, upgrade.slice(0, -1));
});

test('tools that a host lacks are not missed', () => {
  const host = new ScriptHost();
  host.forget('journalctl', 'systemd-sysusers', 'systemd-tmpfiles');
  const { exitCode, calls } = host.run('after-install', ['1']);
  assert.equal(exitCode, 0);
  assert.ok(calls.includes(provision));
});

test('the SELinux module is loaded where SELinux is, and unloaded', () => {
  const host = new ScriptHost();
  for (const tool of ['selinuxenabled', 'load_policy', 'restorecon']) host.tool(tool, 0);
  host.tool('semodule', 0, '[ "$1" != -l ] || echo kleidi');
  host.write('usr/share/selinux/packages/kleidi.pp');
  const module = '/usr/share/selinux/packages/kleidi.pp';
  assert.ok(host.run('after-install', ['2']).calls.includes(`semodule -n -X 200 -i ${module}`));
  assert.ok(host.run('after-remove', ['0']).calls.includes('semodule -n -X 200 -r kleidi'));
});
