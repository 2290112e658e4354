// Removal and purge on a made-up host: what is stopped, what stays, and that no
// key is deleted unless somebody says so in as many words.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { ScriptHost } from '../support/scripthost.ts';

const purgeKeys = { KLEIDI_PURGE_KEYS: 'yes' };

/** A host with a token, a ring, settings and the API server's file. */
function provisionedHost(): ScriptHost {
  const host = new ScriptHost();
  host.write('var/lib/kleidi/ring.json', '{}');
  host.write('var/lib/kleidi/tokens/a/token.object', 'key');
  host.write('etc/kleidi/credentials/pin.cred', 'pin');
  host.write('etc/kleidi/kleidi.yaml', '# mine\n');
  host.write('etc/kleidi/softhsm2.conf', 'directories.tokendir = /var/lib/kleidi/tokens\n');
  host.write(
    'etc/kubernetes/kleidi/encryption-config.yaml',
    'endpoint: unix:///run/kleidi/kms.sock\n',
  );
  return host;
}

const removals = [
  ['dpkg', ['remove']],
  ['rpm', ['0']],
] as const;

for (const [manager, args] of removals) {
  test(`${manager}: a removal stops and disables, then keeps every key and says where`, () => {
    const host = provisionedHost();
    const before = host.run('before-remove', args);
    assert.equal(before.exitCode, 0, before.stderr);
    assert.deepEqual(before.calls, [
      'systemctl is-active --quiet kleidi.service',
      'kleidi status --json',
      'systemctl stop kleidi-metrics.socket kleidi-metrics.service kleidi.socket kleidi.service',
      'systemctl --no-reload disable kleidi.socket kleidi.service kleidi-first-boot.service kleidi-metrics.socket',
    ]);
    const after = host.run('after-remove', args);
    assert.equal(after.exitCode, 0, after.stderr);
    assert.deepEqual(after.calls, ['systemctl daemon-reload', 'journalctl --update-catalog']);
    assert.match(after.stderr, /kept the keys of this host: .*\/var\/lib\/kleidi/);
    assert.match(
      after.stderr,
      manager === 'dpkg' ? /KLEIDI_PURGE_KEYS=yes dpkg --purge/ : /rm -rf /,
    );
    for (const path of [
      'var/lib/kleidi/tokens/a/token.object',
      'etc/kleidi/credentials/pin.cred',
    ]) {
      assert.ok(host.has(path), path);
    }
  });
}

test('an upgrade stops nothing, on either side', () => {
  const host = provisionedHost();
  for (const [script, ...args] of [
    ['before-remove', 'upgrade', '2.0.0'],
    ['before-remove', '1'],
    ['after-remove', 'upgrade', '2.0.0'],
    ['after-remove', '1'],
  ] as const) {
    assert.deepEqual(host.run(script, args, purgeKeys).calls, [], `${script} ${args.join(' ')}`);
  }
  assert.ok(host.has('var/lib/kleidi/ring.json'));
});

test('a purge keeps a token and its settings, which dpkg has deleted by then, and exits 0', () => {
  const host = provisionedHost();
  host.run('after-remove', ['remove']);
  host.delete('etc/kleidi/kleidi.yaml');
  host.delete('etc/kleidi/softhsm2.conf');
  const { exitCode, stderr } = host.run('after-remove', ['purge']);
  assert.equal(exitCode, 0);
  assert.match(stderr, /kept the keys/);
  for (const path of [
    'var/lib/kleidi/ring.json',
    'var/lib/kleidi/tokens/a/token.object',
    'var/lib/kleidi/settings/softhsm2.conf',
    'etc/kleidi/credentials/pin.cred',
    'etc/kubernetes/kleidi/encryption-config.yaml',
  ]) {
    assert.ok(host.has(path), path);
  }
  // There is no second purge: what the hint names must do all of it.
  const [, command = ''] = /hint: to delete them for ever: (rm -rf .*)/.exec(stderr) ?? [];
  assert.equal(spawnSync('sh', ['-c', command]).status, 0, stderr);
  for (const path of ['var/lib/kleidi', 'etc/kleidi/credentials']) assert.ok(!host.has(path), path);
  assert.ok(!host.has('etc/kubernetes/kleidi/encryption-config.yaml'));
});

test('where an API server may need the file, the hint leaves it out', () => {
  const host = provisionedHost();
  host.write('etc/kubernetes/kleidi/encryption-config.yaml', 'kms and aescbc\n');
  const { stderr } = host.run('after-remove', ['purge']);
  assert.match(stderr, /rm -rf /);
  assert.doesNotMatch(stderr, /rm -rf .*encryption-config/);
});

test('a ring without a token, or a token without a ring, is kept too', () => {
  for (const lost of ['var/lib/kleidi/ring.json', 'var/lib/kleidi/tokens']) {
    const host = provisionedHost();
    host.delete(lost);
    host.run('after-remove', ['purge']);
    assert.ok(host.has('etc/kleidi/credentials/pin.cred'), lost);
  }
});

test('a purge of a host that was never provisioned leaves nothing', () => {
  const host = new ScriptHost();
  host.write('var/lib/kleidi/tokens/.keep');
  host.delete('var/lib/kleidi/tokens/.keep');
  host.write('etc/kleidi/kleidi.yaml.dpkg-old');
  assert.equal(host.run('after-remove', ['purge']).exitCode, 0);
  assert.ok(!host.has('var/lib/kleidi') && !host.has('etc/kleidi'));
});

for (const [manager, args] of [
  ['dpkg', ['purge']],
  ['rpm', ['0']],
] as const) {
  test(`${manager}: KLEIDI_PURGE_KEYS=yes deletes all of it`, () => {
    const host = provisionedHost();
    host.write('etc/systemd/system/kleidi.service.d/10-plain-credential.conf');
    assert.equal(host.run('after-remove', args, purgeKeys).exitCode, 0);
    for (const path of [
      'var/lib/kleidi',
      'etc/kleidi',
      'etc/kubernetes',
      'etc/systemd/system/kleidi.service.d',
    ]) {
      assert.ok(!host.has(path), path);
    }
  });
}

test("a purge does not delete what is not kleidi's", () => {
  const host = provisionedHost();
  host.write('etc/kleidi/vault-ca.pem');
  host.write('etc/kubernetes/manifests/etcd.yaml');
  host.write(
    'etc/kubernetes/kleidi/encryption-config.yaml',
    'aescbc: {}\nendpoint: unix:///run/kleidi/kms.sock\n',
  );
  const { stderr } = host.run('after-remove', ['purge'], purgeKeys);
  assert.ok(host.has('etc/kleidi/vault-ca.pem'));
  assert.ok(host.has('etc/kubernetes/manifests/etcd.yaml'));
  assert.ok(host.has('etc/kubernetes/kleidi/encryption-config.yaml'), "another provider's key");
  assert.match(stderr, /kept .*encryption-config\.yaml/);
});

test('a forced purge keeps the file that an API server still reads', () => {
  const host = provisionedHost();
  host.write(
    'etc/systemd/system/kube-apiserver.service',
    'ExecStart=/a --encryption-provider-config=/etc/kubernetes/kleidi/encryption-config.yaml\n',
  );
  host.run('after-remove', ['purge'], purgeKeys);
  assert.ok(host.has('etc/kubernetes/kleidi/encryption-config.yaml'));
});
