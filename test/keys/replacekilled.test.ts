// kleidi provision --replace, killed before any step: the same command comes to its end, and
// nothing of before is lost.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { good } from '../support/ceremony.ts';
import { TestHost } from '../support/host.ts';
import { KillAtStep } from '../support/killatstep.ts';
import type { Result } from '../support/kleidi.ts';
import { isLong } from '../support/long.ts';
import {
  contentsOf,
  copyOf,
  damage,
  exportOf,
  lostToken,
  members,
  replacedIn,
  snapshotOf,
} from '../support/losttoken.ts';

interface Walk {
  readonly name: string;
  readonly host: TestHost;
  readonly args: readonly string[];
}

async function walks(): Promise<readonly Walk[]> {
  const [{ first, second }, fresh] = [await members(), await TestHost.provisioned()];
  const exported = await exportOf(first);
  const copy = copyOf(first);
  damage(second);
  const [fp = ''] = fresh.ring.keks.map((kek) => kek.fp);
  const anew = ['provision', '--replace', 'never-sealed', '--ring', 'prod', '--forget', fp];
  return [
    { name: 'lost token', host: second, args: lostToken(exported) },
    {
      name: 'copied disk',
      host: copy,
      args: ['provision', '--replace', 'copied-disk', '--copied'],
    },
    { name: 'never sealed', host: fresh, args: anew },
  ];
}

test('killed before any step, the same command again comes to its end, and nothing of before is lost', async (t) => {
  const kill = new KillAtStep();
  for (const { name, host, args } of await walks()) {
    const restore = snapshotOf(host);
    const old = { pin: host.pin, ring: readFileSync(host.ringPath, 'utf8') };
    const [token = ''] = readdirSync(host.tokens);
    const kept = (): void => {
      const all = Object.entries(contentsOf(host.folder));
      const has = (file: string, text: string): boolean => {
        const held = Buffer.from(text).toString('base64');
        return all.some(([path, contents]) => path.endsWith(file) && contents === held);
      };
      assert.ok(has('/pin', old.pin) && has('/ring.json', old.ring), name);
      assert.ok(
        all.some(([path]) => path.includes(`/${token}/`)),
        `${name}: the old token`,
      );
    };
    const requireEnd = async (step: number, last: Result): Promise<void> => {
      const where = `${name}, killed at step ${step}`;
      assert.equal(last.exitCode, 0, `${where}: ${last.stderr}`);
      kept();
      replacedIn(host);
      const { ring, keks } = host.ring;
      assert.deepEqual([ring, keks.length], ['prod', name === 'never sealed' ? 1 : 0], where);
      assert.notEqual(host.pin, old.pin, where);
    };
    const run = (env: NodeJS.ProcessEnv) => host.runWith({ env }, ...args);
    // All steps of all three are four minutes; a step of each kind is among every eighth.
    const options = { every: isLong ? 1 : 8 };
    const { steps, last } = await kill.walk(
      'provision',
      run,
      async (step) => {
        kept();
        await requireEnd(step, await host.run(...args));
        restore();
      },
      options,
    );
    t.diagnostic(`${name}: ${steps} steps`);
    await requireEnd(steps + 1, last);
    assert.ok(steps > 40, `${name} has only ${steps} steps`);
    assert.match(await good(host, ...args), /nothing changed/);
    await good(host, 'key', 'request');
  }
});
