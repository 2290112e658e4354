// Three masters whose KEKs are in Vault, by the playbooks of the collection: from bare
// hosts to one ring, what a refused login on the second of them does, and a rotation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ansibleCommands, Controller, filesWith, type Played } from '../support/ansible.ts';
import { BridgeVault, sealForAnsible } from '../support/bridgevault.ts';
import { ClusterNetwork } from '../support/clusternetwork.ts';
import { bareHost } from '../support/installed.ts';
import { builtPackage } from '../support/packages.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';
import { vaultBinary } from '../support/vaultserver.ts';

const binary = vaultBinary();

await onHosts(async () => {
  if (!('path' in binary)) {
    if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${binary.reason}`);
    test('vault', { skip: binary.reason }, () => undefined);
    return;
  }
  const network = ClusterNetwork.create();
  const vault = await BridgeVault.start(network, binary.path);
  const boot = (index: number): Promise<SystemHost> =>
    bareHost({ networkNamespace: network.namespaceOf(index) });
  const [cp1, cp2, cp3] = [await boot(0), await boot(1), await boot(2)];
  const hosts = new Map<string, SystemHost>([
    ['cp1', cp1],
    ['cp2', cp2],
    ['cp3', cp3],
  ]);
  const controller = new Controller(hosts);
  const password = controller.write('password', 'not-a-secret-of-vault\n');
  const secrets = new Map<string, string>();
  const roleIds = Object.fromEntries([...hosts.keys()].map((name) => [name, vault.newRole(name)]));
  const settings = {
    kleidi_ring: 'prod',
    kleidi_package: builtPackage('deb'),
    kleidi_phase: 'none',
    kleidi_retries: 6,
    kleidi_delay: 2,
    kleidi_vault: true,
    // Fewer round trips: for the speed of this file alone.
    ansible_pipelining: true,
    kleidi_vault_allow: [vault.ip],
    kleidi_vault_ca: vault.ca,
    role_ids: roleIds,
    kleidi_vault_secret: '{{ secret_ids[inventory_hostname] }}',
    kleidi_config: {
      vault: {
        address: [vault.address],
        caFile: '/etc/kleidi/vault-ca.pem',
        auth: { method: 'approle', roleId: '{{ role_ids[inventory_hostname] }}' },
      },
    },
  };

  function keepSecrets(): string {
    const file = controller.write(
      'secrets.json',
      JSON.stringify({ secret_ids: Object.fromEntries(secrets) }),
    );
    sealForAnsible(ansibleCommands(), file, password);
    return file;
  }
  const said: string[] = [];
  const play = async (playbook: string, change: object, ...more: string[]): Promise<Played> => {
    const secret = ['--extra-vars', `@${keepSecrets()}`, '--vault-password-file', password];
    const all = { ...settings, ...change };
    const played = await controller.play(playbook, all, ...secret, ...more);
    said.push(played.output);
    return played;
  };
  const good = async (playbook: string, change: object, ...more: string[]): Promise<Played> => {
    const played = await play(playbook, change, ...more);
    assert.equal(played.exitCode, 0, played.output);
    return played;
  };
  const none = { cp1: 0, cp2: 0, cp3: 0 };
  const ringOf = (host: SystemHost): { generation: number; keks: { state: string }[] } =>
    JSON.parse(host.sh('kleidi ring show --json')) as ReturnType<typeof ringOf>;
  const generations = (): number[] => [...hosts.values()].map((host) => ringOf(host).generation);
  const digests = (): Set<string> =>
    new Set([...hosts.values()].map((host) => host.sh('kleidi ring digest --live')));
  const isBare = (host: SystemHost): boolean =>
    host.try('test -e /usr/bin/kleidi || test -e /etc/kleidi').exitCode !== 0;

  test('--check on bare hosts says what would be done, and does none of it', async () => {
    for (const name of hosts.keys()) secrets.set(name, vault.newSecretId(name));
    const { changed } = await good('site', {}, '--check', '--diff');
    for (const [name, host] of hosts) {
      assert.ok((changed[name] ?? 0) > 0, name);
      assert.ok(isBare(host), name);
    }
  });

  test('what is not fit is said before anything is changed', async () => {
    const wrong = async (change: object, reason: RegExp): Promise<void> => {
      const { exitCode, changed, output } = await play('site', change);
      assert.notEqual(exitCode, 0);
      assert.match(output.replace(/\s+/g, ' '), reason);
      assert.deepEqual(changed, none);
    };
    await wrong({ kleidi_vault_allow: [] }, /set vault.address in kleidi_config/);
    await wrong({ kleidi_phase: 'write' }, /A KEK in Vault has no recovery key/);
  });

  test('where Vault refuses the login of the second host, the third stays as it is', async () => {
    vault.revoke('cp2', secrets.get('cp2') ?? assert.fail('no secret'));
    const { exitCode, output } = await play('site', {}, '-vvv', '--diff');
    assert.notEqual(exitCode, 0);
    assert.match(output, /login by approle is refused/);
    assert.deepEqual(
      [cp1, cp2].map(ringOf).flatMap(({ keks }) => keks),
      [],
    );
    assert.ok(isBare(cp3));
  });

  test('after the repair the same command goes on, and stops between two promotions', async () => {
    secrets.set('cp2', vault.newSecretId('cp2'));
    await promotionFailsOn(cp2, () => play('site', {}, '-vvv', '--diff'));
    assert.deepEqual(generations(), [1, 0, 0]);
  });

  test('the same command makes one ring, and tells no secret', async () => {
    await good('site', {});
    assert.equal(digests().size, 1);
    assert.deepEqual(generations(), [1, 1, 1]);
    assert.match(said.join(), /changed: \[cp3\] => \{\s+"censored"/, 'no secret was written');
    for (const [name, host] of hosts) {
      assert.match(host.sh('kleidi status'), /^serving/);
      const secret = secrets.get(name) ?? assert.fail('no secret');
      const credential = '/etc/kleidi/credentials/vault-secret-id.cred';
      const kept = host.sh(`systemd-creds decrypt --name=vault-secret-id ${credential} -`);
      assert.equal(kept, secret);
      assert.ok(!said.join().includes(secret), 'a secret is in the output');
      assert.deepEqual(filesWith(controller.folder, secret), []);
      assert.ok(!host.sh('journalctl -b -o export --no-pager').includes(secret), 'in the journal');
      const files = host.try(
        `grep -rlF ${secret} /etc /home /root /tmp /var --exclude-dir=journal`,
      );
      assert.equal(files.stdout, '');
    }
  });

  test('a new secret is taken up, and the daemon has it; a host without one is left alone', async () => {
    const old = secrets.get('cp1') ?? assert.fail('no secret');
    secrets.set('cp1', vault.newSecretId('cp1'));
    vault.revoke('cp1', old);
    const { changed } = await good('site', {});
    assert.ok((changed['cp1'] ?? 0) > 0);
    assert.deepEqual({ ...changed, cp1: 0 }, none, 'a second run has changed something');
    assert.match(cp1.sh('kleidi status'), /^serving/);
  });

  test('a rotation takes the version that is named, and goes on where it was stopped', async () => {
    vault.run('write', '-f', 'transit/keys/kleidi/rotate');
    const version = { kleidi_vault_version: 2 };
    await promotionFailsOn(cp2, () => play('rotate', version));
    assert.deepEqual(generations(), [2, 1, 1]);
    await good('rotate', version);
    assert.deepEqual(generations(), [2, 2, 2]);
    assert.equal(digests().size, 1);
    const states = ringOf(cp3).keks.map(({ state }) => state);
    assert.deepEqual(states, ['read', 'write']);
    assert.deepEqual((await good('rotate', version)).changed, none);
  });
});

/** As where the connection ends there: nothing of the promotion is done. */
async function promotionFailsOn(host: SystemHost, work: () => Promise<Played>): Promise<void> {
  const fault = '/usr/local/bin/kleidi';
  host.write(
    fault,
    '#!/bin/sh\n[ "$1 $2" != "key promote" ] && exec /usr/bin/kleidi "$@"\n',
    0o755,
  );
  const { exitCode, output } = await work();
  assert.notEqual(exitCode, 0);
  assert.match(output, /Write with the new KEK\]/);
  host.sh(`rm ${fault}`);
}
