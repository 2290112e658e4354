// The life of a KEK on a host that keeps all of them in Vault: no token, no PIN.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { emptyRing, formatRing } from '../../src/keyring/ring.ts';
import { TestHost } from '../support/host.ts';
import { onVault } from '../support/vaultserver.ts';

interface Listed {
  readonly fp: string;
  readonly state: string | null;
  readonly provider: string;
  readonly held: boolean;
}

await onVault(async (server) => {
  const host = new TestHost();
  const token = join(host.folder, 'vault-token');
  writeFileSync(token, server.rootToken);
  chmodSync(token, 0o400);
  host.configure({
    vault: { address: [server.address], auth: { method: 'token', token: `file:${token}` } },
  });
  mkdirSync(dirname(host.ringPath), { recursive: true });
  writeFileSync(host.ringPath, formatRing(emptyRing('test')));

  async function run(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await host.run(...args, '--json');
    assert.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async function take(version: string): Promise<string> {
    const { keks } = JSON.parse(await run('key', 'import', '--vault-version', version)) as {
      keks: [{ fp: string }];
    };
    return keks[0].fp;
  }

  const listed = async (): Promise<Listed[]> => JSON.parse(await run('key', 'list')) as Listed[];

  test('list, promote, retire and its undo want no PIN', async () => {
    const first = await take('1');
    await run('key', 'promote', first);
    await server.ask('POST', 'transit/keys/kleidi/rotate');
    const second = await take('2');
    await run('key', 'promote', second);
    await run('key', 'retire', first);
    assert.deepEqual(
      (await listed()).map(({ fp, state, provider, held }) => [fp, state, provider, held]),
      [
        [first, 'retired', 'vault', true],
        [second, 'write', 'vault', true],
      ],
    );
    await run('key', 'retire', first, '--undo');
    assert.equal((await listed())[0]?.state, 'read');
    assert.equal(existsSync(host.pinPath), false);
  });

  test('a KEK whose version Vault does not allow is not taken back', async () => {
    const [first] = await listed();
    await run('key', 'retire', first?.fp ?? '');
    await server.ask('POST', 'transit/keys/kleidi/config', { min_decryption_version: 2 });
    const { exitCode, stderr } = await host.run('key', 'retire', first?.fp ?? '', '--undo');
    assert.equal(exitCode, 1);
    assert.match(stderr, /Vault has no usable version for KEK/);
    assert.equal((await listed())[0]?.held, false);
    assert.equal((await listed())[0]?.state, 'retired');
  });
});
