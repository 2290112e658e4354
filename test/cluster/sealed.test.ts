// Three API servers that seal with kleidi: what is in etcd, and who reads it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { waitFor } from '../support/apiservers.ts';
import { Cluster } from '../support/cluster.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { hostAddresses } from '../support/clusternetwork.ts';
import { certificateFolder } from '../support/clusterunits.ts';
import { refusingSecrets } from '../support/refusingwebhook.ts';

interface LiveJson {
  readonly runsOnFile: string;
  readonly health: string | null;
  readonly announced: { readonly keyIdHash: string } | null;
  readonly tried: { readonly kind: string; readonly keyIdHash?: string; readonly why?: string };
}

/** A webhook that cannot be reached: no Secret is made. */
const secretsRefused = refusingSecrets('CREATE', 'https://127.0.0.1:1/');

const inClear = 'written-before-kleidi-0123456789';
const sealed = 'written-through-kleidi-0123456789';

await onCluster(async (binaries) => {
  const cluster = await Cluster.boot(binaries);
  const { api, hosts } = cluster;

  test('a Secret from before kleidi is in clear in the files of etcd', async () => {
    await api.createSecret(0, 'before', inClear);
    assert.ok(!cluster.isSealed(0, 'before'));
    for (const index of hosts.keys())
      await waitFor(
        () => cluster.etcdFilesHave(index, Buffer.from(inClear)),
        () => `not in the files of host ${index}`,
      );
  });

  test('--wait says what is waited for where kube-apiserver runs on its old flags', () => {
    const { exitCode, stderr } = cluster
      .host(2)
      .try('kleidi apiserver enable --phase read --wait --timeout 2');
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /not taken up the change within 2 s: .*runs since before .*50-kleidi.conf/,
    );
    assert.match(stderr, /hint: systemctl daemon-reload && systemctl restart kube-apiserver/);
  });

  test('phase read, then phase write, one host after the other: each is ready again', async () => {
    for (const phase of ['read', 'write'] as const) {
      await cluster.takeTo(phase);
      for (const index of hosts.keys())
        assert.equal(await api.get(index, '/readyz/kms-providers'), 'ok');
    }
  });

  /** What the running API server says, by kleidi on its host. */
  function live(index: number, ...args: string[]): { exitCode: number | null; live: LiveJson } {
    const { exitCode, stdout, stderr } = cluster
      .host(index)
      .try(`kleidi apiserver status --live --json ${args.join(' ')}`);
    assert.ok(stdout.startsWith('{'), stderr);
    assert.doesNotMatch(stderr, /Warning/);
    return { exitCode, live: (JSON.parse(stdout) as { live: LiveJson }).live };
  }

  test('each running API server says itself that it is on its file and has the key id', async () => {
    const hash = cluster.host(0).sh('kleidi status --json | grep -o "sha256:[0-9a-f]*" | head -1');
    for (const index of hosts.keys()) {
      await waitFor(
        () => live(index).exitCode === 0,
        () => JSON.stringify(live(index)),
      );
      const { announced, health } = live(index).live;
      assert.equal(announced?.keyIdHash, hash);
      assert.equal(health, 'ok');
    }
  });

  test('the key id in use is tried by a Secret of its own, of which nothing stays', async () => {
    const hash = cluster.host(0).sh('kleidi status --json | grep -o "sha256:[0-9a-f]*" | head -1');
    const folder = '/api/v1/namespaces/kube-system/secrets';
    const name = cluster.host(2).sh('hostname | tr -d "\\n" | sha256sum | cut -c1-12');
    const leftover = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: `kleidi-marker-${name}` },
    };
    const made = await api.call(2, { method: 'POST', path: folder, body: leftover });
    assert.equal(made.status, 201);
    for (const index of hosts.keys()) {
      const { exitCode, live: found } = live(index, '--try-write');
      assert.deepEqual(found.tried, { kind: 'key-id', keyIdHash: hash });
      assert.equal(exitCode, 0);
    }
    assert.ok(!(await api.get(0, folder)).includes('kleidi-marker'));
  });

  test('a webhook that refuses that Secret: cannot tell, and no failure', async () => {
    const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
    await api.call(0, { method: 'POST', path, body: secretsRefused });
    await waitFor(
      () => live(0, '--try-write').live.tried.kind === 'cannot-tell',
      () => 'the webhook is not asked',
    );
    const { exitCode, live: found } = live(0, '--try-write');
    await api.call(0, { method: 'DELETE', path: `${path}/frozen` });
    assert.equal(exitCode, 0);
    assert.match(found.tried.why ?? '', /InternalError, 500$/);
  });

  test('a file that it has not taken up, another host that answers, nobody who does', async () => {
    const host = cluster.host(1);
    const file = '/etc/kubernetes/kleidi/encryption-config.yaml';
    const good = host.read(file);
    host.write(file, `${good}\n# another\n`, 0o600);
    const { exitCode, live: changed } = live(1);
    const sure = '--single-master --accept-no-recovery';
    const refused = host.try(`kleidi apiserver enable --phase write ${sure}`);
    host.write(file, `${good}\n`, 0o600);
    assert.equal(exitCode, 1);
    // Before 1.34 it has no hash of what it runs on.
    const hasHash = process.env['KLEIDI_CLUSTER_LINE'] !== '1.29';
    assert.equal(changed.runsOnFile, hasHash ? 'no' : 'cannot-tell');
    assert.equal(refused.exitCode, hasHash ? 1 : 0);
    if (hasHash) assert.match(refused.stderr, /not at the phase of its files: it runs on another/);
    host.sh(`kleidi apiserver enable --phase write ${sure} --wait`, { timeoutMs: 330_000 });

    const dropIn = '/etc/systemd/system/kube-apiserver.service.d/zz.conf';
    const saying = (flags: string): string => {
      host.write(dropIn, `[Service]\nEnvironment="NOT_USED=${flags}"\n`);
      const { exitCode, stderr } = host.try('kleidi apiserver status --live');
      host.sh(`rm ${dropIn}`);
      assert.equal(exitCode, 1);
      return stderr;
    };
    assert.match(saying(`--bind-address=${hostAddresses[2]}`), /the API server of another host/);
    assert.match(saying('--secure-port=1'), /cannot be asked: .*ECONNREFUSED[\s\S]*hint: /);
  });

  test('what one API server seals is sealed in etcd, and the two others read it', async () => {
    for (const writer of hosts.keys()) {
      const name = `sealed-by-${writer}`;
      await api.createSecret(writer, name, sealed);
      assert.ok(cluster.isSealed(writer, name));
      for (const reader of hosts.keys()) assert.equal(await api.secret(reader, name), sealed);
    }
  });

  test('its plaintext is nowhere in the files of any member', async () => {
    for (const index of hosts.keys())
      for (const bytes of [sealed, Buffer.from(sealed).toString('base64')])
        assert.ok(!cluster.etcdFilesHave(index, Buffer.from(bytes)), `host ${index}`);
  });

  test('after the rewrite the Secret from before is sealed as well', async () => {
    assert.ok((await api.rewriteSecrets(1)) >= 4);
    assert.ok(cluster.isSealed(2, 'before'));
    for (const reader of hosts.keys()) assert.equal(await api.secret(reader, 'before'), inClear);
  });

  test('a support bundle has what a helper needs, and no secret of the host', () => {
    const host = cluster.host(0);
    const pin = host.sh('systemd-creds decrypt --name=pin /etc/kleidi/credentials/pin.cred -');
    const otherKey = randomBytes(32).toString('base64');
    const proxyPassword = randomBytes(12).toString('hex');
    const configuration = '/etc/kubernetes/kleidi/encryption-config.yaml';
    const before = host.read(configuration);
    const other = { aescbc: { keys: [{ name: 'old', secret: otherKey }] } };
    const entry = { resources: ['configmaps'], providers: [{ identity: {} }, other] };
    host.write(configuration, `${before}\n  - ${JSON.stringify(entry)}\n`, 0o600);
    host.write(
      '/etc/systemd/system/kleidi.service.d/50-proxy.conf',
      `[Service]\nEnvironment=HTTPS_PROXY=http://ops:${proxyPassword}@proxy:3128\n`,
    );
    const said = [
      pin,
      Buffer.from(`pin ${pin}`).toString('base64'),
      Buffer.from(pin).toString('hex'),
    ];
    for (const text of said) host.sh('systemd-cat -t kleidi-admin', { input: `said ${text}\n` });
    host.sh(
      'systemctl daemon-reload && journalctl --sync && kleidi support-bundle --out /root/support.txt',
    );
    const text = host.read('/root/support.txt');
    host.write(configuration, before, 0o600);
    assert.equal(host.sh('stat -c %a /root/support.txt'), '600');
    const wanted = [
      /===== kleidi doctor\n[\s\S]*\d+ ok, /,
      /"healthz":"ok"/,
      /LoadCredentialEncrypted=pin:/,
      /--encryption-provider-config=\/etc\/kubernetes\/kleidi/,
      /aescbc name=old/,
      /apiserver_envelope_encryption_key_id_hash_total\{/,
      /serving .*ring=/,
      /said \[redacted\]/,
      /HTTPS_PROXY=http:\/\/\[redacted\]@proxy/,
    ];
    for (const each of wanted) assert.match(text, each);
    const secrets = [
      ...[...said, otherKey, proxyPassword, inClear, sealed],
      ...host.read(`${certificateFolder}/admin.key`).split('\n').slice(1, -1),
    ];
    for (const secret of secrets) assert.ok(!text.includes(secret));
    assert.doesNotMatch(text, /PRIVATE KEY/);
    assert.match(
      host.try('kleidi support-bundle --out /root/support.txt').stderr,
      /exists already/,
    );
  });
});
