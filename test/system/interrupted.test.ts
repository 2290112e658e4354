// Packages that dpkg and rpm have not set up to their end, on booted hosts: after
// a reboot the operator's next command does the rest, and the old keys serve.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, clientOf, forgetCallers, packageFile } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const seed = Buffer.alloc(32, 8);
const units = 'kleidi.socket kleidi.service';

interface Sealed {
  readonly ciphertext: Buffer;
  readonly keyId: string;
}

async function seal(host: SystemHost): Promise<Sealed> {
  const client = clientOf(host);
  try {
    return await client.encrypt(seed);
  } finally {
    client.close();
  }
}

async function isSetUp(host: SystemHost, { ciphertext, keyId }: Sealed): Promise<void> {
  await host.until('kleidi status');
  assert.equal(host.sh(`systemctl is-enabled ${units}`), 'enabled\nenabled');
  assert.equal(host.sh(`systemctl is-active ${units}`), 'active\nactive');
  assert.equal(host.try('test -e /var/lib/kleidi.unfinished').exitCode, 1);
  const client = clientOf(host);
  assert.deepEqual(await client.decrypt(ciphertext, keyId), seed);
  client.close();
  await forgetCallers(host); // or what is removed next would be refused
}

/**
 * The first call of a program with these words kills the script that calls it. In
 * /usr/sbin, which comes before /usr/bin for the scripts of rpm, too.
 */
function plantKill(host: SystemHost, program: string, words: string): void {
  host.write(
    `/usr/sbin/${program}`,
    `#!/bin/sh
case "$*" in *'${words}'*) rm "$0"; kill -9 $PPID; exit 1 ;; esac
exec /usr/bin/${program} "$@"
`,
    0o755,
  );
}

await onHosts(async () => {
  const host = await bareHost();
  const [deb, rpm] = [packageFile('deb'), packageFile('rpm')];
  let sealed: Sealed = { ciphertext: Buffer.alloc(0), keyId: '' };

  test('dpkg: the postinst of a first installation, killed as it starts the service', async () => {
    plantKill(host, 'systemctl', 'restart kleidi.service');
    assert.notEqual(host.try(`dpkg -i ${deb}`).exitCode, 0);
    await host.reboot();
    host.sh('dpkg --configure -a');
    sealed = await seal(host);
    await isSetUp(host, sealed);
  });

  test('dpkg: removed, unpacked, rebooted, then configured', async () => {
    host.sh('dpkg -r kleidi');
    host.sh(`dpkg --unpack ${deb}`);
    await host.reboot();
    assert.equal(host.try(`systemctl is-enabled ${units}`).stdout.trim(), 'disabled\ndisabled');
    host.sh('dpkg --configure -a');
    await isSetUp(host, sealed);
  });

  test('dpkg: a removal whose prerm is killed is taken back', async () => {
    plantKill(host, 'systemctl', 'disable kleidi.socket');
    assert.notEqual(host.try('dpkg -r kleidi').exitCode, 0);
    assert.match(host.sh('dpkg --status kleidi'), /^Status: \w+ ok installed$/m);
    await isSetUp(host, sealed);
  });

  test('rpm: a %post that is killed is not run again; a reinstallation does the rest', async () => {
    host.sh('dpkg -r kleidi');
    plantKill(host, 'systemctl', 'restart kleidi.service');
    const killed = host.try(`rpm -i --nodeps ${rpm}`);
    assert.match(killed.stderr, /%post.*signal 9/);
    await host.reboot();
    host.sh('test -e /var/lib/kleidi.unfinished');
    host.sh(`rpm -U --replacepkgs --nodeps ${rpm}`);
    await isSetUp(host, sealed);
  });

  test('rpm: an erase whose %preun is killed is taken back by a reinstallation', async () => {
    plantKill(host, 'systemctl', 'disable kleidi.socket');
    assert.notEqual(host.try('rpm -e kleidi').exitCode, 0);
    assert.notEqual(host.try('systemctl is-active kleidi.service').exitCode, 0);
    host.sh(`rpm -U --replacepkgs --nodeps ${rpm}`);
    await isSetUp(host, sealed);
  });

  test('rpm: after an erase no note is left', () => {
    host.sh('rpm -e kleidi');
    assert.equal(host.try('test -e /var/lib/kleidi.unfinished').exitCode, 1);
  });
});
