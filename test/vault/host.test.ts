// Vault on a booted host: the drop-in opens the sandbox just enough, the secret id
// comes from an encrypted credential, and a cut network heals by itself.
import assert from 'node:assert/strict';
import { basename, dirname } from 'node:path';
import { test } from 'node:test';
import { clientOf, installedHost } from '../support/installed.ts';
import { onHosts } from '../support/systemhost.ts';
import { vaultBinary } from '../support/vaultserver.ts';

const seed = Buffer.alloc(32, 3);
const binary = vaultBinary();

await onHosts(async () => {
  if (!('path' in binary)) {
    if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${binary.reason}`);
    test('vault', { skip: binary.reason }, () => undefined);
    return;
  }
  const host = await installedHost({ bind: [`${dirname(binary.path)}:/opt/vault`] });
  const vault = `VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN=root HOME=/root /opt/vault/${basename(binary.path)}`;
  host.sh(
    `systemd-run --unit=vault -q -E HOME=/root /opt/vault/${basename(binary.path)} server -dev -dev-root-token-id=root`,
  );
  await host.until(`${vault} status`, 30_000);
  host.sh(
    `${vault} secrets enable transit; ${vault} write -f transit/keys/kleidi type=aes256-gcm96; ${vault} auth enable approle`,
  );
  const secretId = { text: '' };

  test('the printed policy, an encrypted secret id and the drop-in are all it takes', async () => {
    host.sh(`kleidi vault policy | ${vault} policy write kleidi -`);
    host.sh(
      `${vault} write auth/approle/role/kleidi token_policies=kleidi token_no_default_policy=true token_ttl=2s token_max_ttl=10s`,
    );
    const roleId = host.sh(`${vault} read -field=role_id auth/approle/role/kleidi/role-id`);
    // As docs/operations.md hands a wrapped secret id over.
    const token = host.sh(
      `${vault} write -f -wrap-ttl=60s -field=wrapping_token auth/approle/role/kleidi/secret-id`,
    );
    const credential = '/etc/kleidi/credentials/vault-secret-id.cred';
    host.sh(`${vault} unwrap -field=secret_id ${token} | kleidi credential seal vault-secret-id`);
    secretId.text = host.sh(`systemd-creds decrypt --name=vault-secret-id ${credential} -`);
    assert.match(secretId.text, /^[0-9a-f-]{36}$/);
    assert.notEqual(host.try(`${vault} unwrap ${token}`).exitCode, 0);
    host.sh(
      `printf 'vault:\\n  address: ["http://127.0.0.1:8200"]\\n  auth: { roleId: "${roleId}" }\\n' >> /etc/kleidi/kleidi.yaml`,
    );
    host.sh(`install -Dm644 /usr/lib/kleidi/drop-ins/vault.conf /etc/systemd/system/kleidi.service.d/vault.conf
      sed -i 's/^#\\(LoadCredentialEncrypted=vault-secret-id\\)/\\1/' /etc/systemd/system/kleidi.service.d/vault.conf
      systemctl daemon-reload; systemctl restart kleidi`);
    await host.until('kleidi status');
    assert.equal(host.try('kleidi doctor --only vault').exitCode, 0);
    const { keks } = JSON.parse(host.sh('kleidi key import --vault-version 1 --json')) as {
      keks: [{ fp: string }];
    };
    const known = "stat -c '%U:%G %a' /var/lib/kleidi/vault-known.json";
    assert.equal(host.sh(known), 'root:kleidi 640');
    host.sh(`kleidi key promote ${keks[0].fp}`);
    host.sh('systemctl restart kleidi');
    await host.until('kleidi status');
    const client = clientOf(host);
    const { ciphertext, keyId } = await client.encrypt(seed);
    assert.equal(ciphertext.readUInt8(3), 2);
    assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
    client.close();
  });

  test('what the drop-in costs is known, and no more is open', (t) => {
    const line = /exposure level for kleidi.service: ([0-9.]+)/.exec(
      host.sh('systemd-analyze security kleidi --no-pager'),
    );
    t.diagnostic(line?.[0] ?? '');
    assert.ok(Number(line?.[1]) <= 1.0, line?.[0]);
    assert.match(
      host.sh('systemctl show -p IPAddressDeny -p RestrictAddressFamilies kleidi'),
      /IPAddressDeny=.*0\.0\.0\.0\/0/,
    );
  });

  test('leases pass, the network is cut and comes back: no restart, no secret anywhere', async (t) => {
    const client = clientOf(host);
    const pid = host.sh('systemctl show -p MainPID --value kleidi');
    const endMs = Date.now() + 15_000;
    for (; Date.now() < endMs; ) {
      const { ciphertext, keyId } = await client.encrypt(seed);
      assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    host.sh('ip link set lo down');
    await assert.rejects(client.encrypt(seed), /Vault cannot be reached/);
    host.sh('ip link set lo up');
    const mendedMs = Date.now();
    await host.until('kleidi status', 20_000);
    t.diagnostic(`serves ${Date.now() - mendedMs} ms after the network is back`);
    assert.equal(host.sh('systemctl show -p MainPID --value kleidi'), pid);
    client.close();
    const places = `journalctl -b -o export --no-pager; ps axeww; tr '\\0' ' ' < /proc/${pid}/environ; tr '\\0' ' ' < /proc/${pid}/cmdline`;
    assert.ok(!host.sh(places).includes(secretId.text));
  });
});
