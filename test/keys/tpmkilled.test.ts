// kleidi tpm create, killed before each step that changes a file: what is left is a store that its
// PIN opens, or none, and the next run comes to one KEK.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { suite, test } from 'node:test';
import { KillAtStep } from '../support/killatstep.ts';
import { missingTpm, SimulatedTpm } from '../support/simulatedtpm.ts';
import { missingTool } from '../support/skip.ts';
import { consent, TpmHost } from '../support/tpmmember.ts';

suite('tpm create is killed', { skip: missingTpm() || missingTool('cc') }, async () => {
  await SimulatedTpm.start();
  const host = await TpmHost.make();
  const kill = new KillAtStep();

  /** Those that ring or store name, and their notes. */
  async function listed(): Promise<readonly { fp: string; state: string | null; held: boolean }[]> {
    return JSON.parse(await host.good('key', 'list', '--json'));
  }

  async function walk(): Promise<void> {
    const before = host.ring.keks.map(({ fp }) => fp);
    const { steps, last } = await kill.walk(
      'create',
      (env) => host.runWith({ env }, 'tpm', 'create', ...consent),
      async (step) => {
        const keks = await listed();
        const whole = keks.filter(({ fp }) => before.includes(fp));
        assert.ok(whole.length === before.length && whole.every(({ held }) => held), `${step}`);
        assert.ok(keks.length <= before.length + 1, `step ${step}: at most one new KEK`);
      },
    );
    assert.equal(last.exitCode, 0, last.stderr);
    assert.ok(steps >= 3, `${steps} steps`);
    const after = await listed();
    assert.equal(after.length, before.length + 1);
    assert.ok(after.every(({ state, held }) => state !== null && held));
    assert.ok(!existsSync(`${host.store}.new`));
  }

  test('the first KEK, with its token and PIN', walk);

  test('another one in the same token', async () => {
    await host.good('key', 'promote', host.ring.keks.at(-1)?.fp ?? '');
    await walk();
  });
});
