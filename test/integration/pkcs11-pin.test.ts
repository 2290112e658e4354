// One try for each PIN at a token that may lock, whoever makes it; as many as
// it takes at SoftHSM, which never locks and calls damage a wrong PIN.
import assert from 'node:assert/strict';
import { chownSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FaultModule, openProvider } from '../support/faultmodule.ts';
import { TestHost } from '../support/host.ts';
import { kleidi } from '../support/kleidi.ts';
import { missingTool } from '../support/skip.ts';

const mayLock = 'C_GetInfo rename ACME';

describe('a PIN that the token refuses', { skip: missingTool('cc') }, async () => {
  const faults = new FaultModule();
  const host = await TestHost.provisioned();
  host.configure({ pkcs11: { module: faults.path } });
  const runtimeDir = join(host.folder, 'run');
  const record = join(runtimeDir, 'refused-pin');
  const rightPin = host.pin;

  beforeEach(() => {
    rmSync(record, { force: true });
    putPin('wrong-pin-one');
    faults.forgetTrace();
  });
  afterEach(() => faults.plan());

  function putPin(pin: string): void {
    rmSync(host.pinPath);
    writeFileSync(host.pinPath, pin, { mode: 0o400 });
  }

  const open = () => openProvider(host, faults);
  const refused = { code: 'pin-refused' };

  async function verifierChild(): Promise<unknown> {
    const settings = {
      module: faults.path,
      token: 'kleidi',
      softhsmConf: host.softhsmConf,
      runtimeDir,
      callTimeoutMs: 2_000,
      openTimeoutMs: 10_000,
    };
    const input = `${JSON.stringify({ settings, pin: host.pin, fps: [] })}\n`;
    const { stdout } = await kleidi(['verify-token'], { input, env: faults.env });
    return (JSON.parse(stdout) as { error?: { code: unknown } }).error?.code;
  }

  test('is tried once, by whichever process comes first', async () => {
    faults.plan(mayLock);
    await assert.rejects(open(), refused);
    await assert.rejects(open(), { ...refused, message: /not tried again/ });
    assert.equal(await verifierChild(), 'pin-refused');
    const list = await host.runWith({ env: faults.env }, 'key', 'list');
    assert.equal(list.exitCode, 1);
    assert.match(list.stderr, /not tried again/);
    assert.equal(faults.calls('C_Login'), 1);
  });

  test('is remembered by the verifier and by commands too', async () => {
    faults.plan(mayLock);
    assert.equal(await verifierChild(), 'pin-refused');
    await assert.rejects(open(), refused);
    assert.equal(faults.calls('C_Login'), 1);
    putPin('wrong-pin-two');
    assert.equal((await host.runWith({ env: faults.env }, 'key', 'list')).exitCode, 1);
    await assert.rejects(open(), refused);
    assert.equal(faults.calls('C_Login'), 2, 'one for each PIN');
  });

  test('does not stand in the way of another PIN', async () => {
    faults.plan(mayLock);
    await assert.rejects(open(), refused);
    putPin(rightPin);
    const { provider, loaded } = await open();
    assert.equal(loaded.size, 1);
    await provider.close();
    assert.equal(
      faults.calls('C_Login'),
      3,
      'refused, open, and load, which finds the login there',
    );
  });

  test('is kept as a salted hash, for the user and the group of the daemon', async () => {
    faults.plan(mayLock);
    const records = new Set<string>();
    for (let i = 0; i < 2; i += 1) {
      rmSync(record, { force: true });
      await assert.rejects(open(), refused);
      records.add(readFileSync(record, 'utf8'));
      assert.equal(statSync(record).mode & 0o777, 0o640);
    }
    assert.equal(records.size, 2);
    for (const text of records) assert.match(text, /^[0-9a-f]{32}:[0-9a-f]{64}$/);
  });

  test('is remembered for the user of the daemon where root has tried it', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root, to be somebody else than the daemon');
    const daemonUser = 65_534;
    chownSync(runtimeDir, daemonUser, daemonUser);
    faults.plan(mayLock);
    await host.runWith({ env: faults.env }, 'key', 'list');
    assert.equal(statSync(record).uid, daemonUser);
  });

  test('is not tried at all where the refusal could not be remembered', async () => {
    faults.plan(mayLock);
    const folder = join(host.pinPath, 'no-folder');
    await assert.rejects(openProvider(host, faults, { runtimeDir: folder }), {
      code: 'file-failed',
    });
    assert.equal(faults.calls('C_Login'), 0);
  });

  test('is told by every return value that says so, and by no other', async () => {
    putPin(rightPin);
    for (const code of ['0xA0', '0xA1', '0xA2', '0xA3', '0xA4']) {
      rmSync(record, { force: true });
      faults.plan(mayLock, `C_Login fail ${code}`);
      await assert.rejects(open(), refused, code);
      assert.ok(existsSync(record), code);
    }
    rmSync(record);
    const others = { '0x30': 'module-failed', '0xE0': 'module-failed', '0x5': 'token-damaged' };
    for (const [code, expected] of Object.entries(others)) {
      faults.plan(mayLock, `C_Login fail ${code}`);
      await assert.rejects(open(), { code: expected }, code);
      assert.ok(!existsSync(record), code);
    }
  });

  test('is tried again and again at SoftHSM, and nothing is remembered', async () => {
    for (let i = 0; i < 5; i += 1) await assert.rejects(open(), refused);
    assert.equal(faults.calls('C_Login'), 5);
    assert.ok(!existsSync(record));
    putPin(rightPin);
    await (await open()).provider.close();
  });

  test('is nowhere in what the fault module has traced', async () => {
    await assert.rejects(open(), refused);
    assert.ok(faults.trace().length > 3);
    assert.ok(!faults.trace().join().includes('wrong-pin'));
  });
});
