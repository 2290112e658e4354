// Settings of the Transit key that let its KEKs leave Vault, or end: on a real server.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import { knownTextsPath } from '../../src/providers/vault/knowntexts.ts';
import { TestHost } from '../support/host.ts';
import { onVault } from '../support/vaultserver.ts';

await onVault(async (server) => {
  const create = (key: string, fields: object): Promise<unknown> =>
    server.ask('POST', `transit/keys/${key}`, { type: 'aes256-gcm96', ...fields });
  const config = (key: string, fields: object): Promise<unknown> =>
    server.ask('POST', `transit/keys/${key}/config`, fields);

  function hostOf(key: string): TestHost {
    const host = new TestHost();
    const token = join(host.folder, 'vault-token');
    writeFileSync(token, server.rootToken);
    chmodSync(token, 0o400);
    const auth = { method: 'token', token: `file:${token}` };
    host.configure({ vault: { address: [server.address], key, auth } });
    mkdirSync(dirname(host.ringPath), { recursive: true });
    writeFileSync(host.ringPath, formatRing(emptyRing('test')));
    return host;
  }

  for (const [key, setting] of [
    ['open', 'exportable'],
    ['plain', 'allow_plaintext_backup'],
  ] as const) {
    test(`${setting}: import refuses with the reason and changes nothing, doctor fails`, async () => {
      await create(key, { [setting]: true });
      const host = hostOf(key);
      const { exitCode, stderr } = await host.run('key', 'import', '--vault-version', '1');
      assert.equal(exitCode, 1);
      assert.ok(stderr.includes(`Transit key '${key}' has ${setting}: true`), stderr);
      assert.match(stderr, /read out of Vault in clear.*the ring is not changed/);
      assert.equal(readFileSync(host.ringPath, 'utf8'), formatRing(emptyRing('test')));
      assert.equal(existsSync(knownTextsPath(host.ringPath)), false);
      const doctor = await host.run('doctor', '--only', 'vault');
      assert.equal(doctor.exitCode, 1);
      assert.ok(doctor.stdout.includes(`FAIL  Transit key '${key}' has ${setting}: true`));
    });
  }

  test('deletion_allowed: import takes the KEK and warns, doctor warns until it is taken back', async () => {
    await create('mortal', {});
    await config('mortal', { deletion_allowed: true });
    const host = hostOf('mortal');
    const { exitCode, stderr } = await host.run('key', 'import', '--vault-version', '1');
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /deletion_allowed: true.*vault write transit\/keys\/mortal\/config/);
    const doctor = await host.run('doctor', '--only', 'vault');
    assert.equal(doctor.exitCode, 0);
    assert.match(doctor.stdout, /warn {2}Transit key 'mortal' has deletion_allowed: true/);
    await config('mortal', { deletion_allowed: false });
    assert.doesNotMatch((await host.run('doctor', '--only', 'vault')).stdout, /deletion_allowed/);
  });

  test('a key that is opened up later: doctor fails, and what is in the ring stays in use', async () => {
    const host = hostOf('kleidi');
    const first = await host.run('key', 'import', '--vault-version', '1', '--json');
    assert.equal(first.exitCode, 0, first.stderr);
    assert.doesNotMatch(first.stderr, /Transit key/);
    const { keks } = JSON.parse(first.stdout) as { keks: [{ fp: string }] };
    await config('kleidi', { exportable: true, allow_plaintext_backup: true });
    const both = /exportable: true and allow_plaintext_backup: true/;
    const doctor = await host.run('doctor', '--only', 'vault');
    assert.equal(doctor.exitCode, 1);
    assert.match(doctor.stdout, both);
    const again = await host.run('key', 'import', '--vault-version', '1');
    assert.equal(again.exitCode, 0, again.stderr);
    assert.match(again.stderr, both);
    assert.equal((await host.run('key', 'promote', keks[0].fp)).exitCode, 0);
    await server.ask('POST', 'transit/keys/kleidi/rotate');
    assert.match((await host.run('key', 'import', '--vault-version', '2')).stderr, both);
    assert.ok(!readFileSync(host.ringPath, 'utf8').includes('staged'));
  });
});
