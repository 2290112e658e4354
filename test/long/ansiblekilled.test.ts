// ansible-playbook is killed again and again, each time some tasks further: the same command
// then goes on and comes to its end, for a roll-out from bare hosts and for a rotation, on
// three masters with real API servers.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { test } from 'node:test';
import { Controller, type Played, rolloutSettings } from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { liveKeyIds, scanSnapshot } from '../support/clustersnapshot.ts';
import { ControlPlane } from '../support/controlplane.ts';

const text = 'in-a-secret-0123456789';
/** Kills of each playbook, at least. */
const wantedKills = 10;
/** A task takes up to a second or so: a kill is not always at its beginning. */
const spreadMs = 900;
/** Then the KEK is in use everywhere, and rotate, run again, makes another one. */
const rotationOver = 'PLAY [Tidy]';

interface Ring {
  readonly generation: number;
  readonly keyId: string;
  readonly keks: readonly { readonly state: string }[];
}

await onCluster(async (binaries) => {
  const plane = await ControlPlane.boot(binaries);
  const { api, hosts } = plane;
  const controller = new Controller(new Map(hosts.map((host, i) => [`cp${i + 1}`, host])));
  const settings = {
    ...{ kleidi_ring: 'prod', kleidi_delay: 2, kleidi_retries: 100 },
    ...rolloutSettings(await makeRecovery(controller.folder)),
  };

  /** Kills ansible-playbook and its workers after so many tasks, some way into the next. */
  async function playKilled(playbook: string, tasks: number): Promise<Played> {
    let seen = 0;
    let playing: ChildProcess | undefined;
    let timer: NodeJS.Timeout | undefined;
    let isOver = false;
    const kill = (): void => {
      if (playing?.pid !== undefined && !isOver) process.kill(-playing.pid, 'SIGKILL');
    };
    controller.watcher = {
      // A process group of its own.
      before: ['setsid'],
      started: (child) => {
        playing = child;
      },
      said: (said) => {
        isOver ||= playbook === 'rotate' && said.includes(rotationOver);
        seen += said.match(/^TASK \[/gm)?.length ?? 0;
        if (seen >= tasks) timer ??= setTimeout(kill, (tasks * 397) % spreadMs);
      },
    };
    const played = await controller.play(playbook, settings);
    clearTimeout(timer);
    controller.watcher = undefined;
    return played;
  }

  /** @returns after how many tasks it was killed, before the run that came to its end */
  async function completeThroughKills(playbook: string, step: number): Promise<number[]> {
    const kills: number[] = [];
    for (let tasks = step; ; tasks += step) {
      const { exitCode, output } = await playKilled(playbook, tasks);
      if (exitCode === 0) return kills;
      assert.equal(exitCode, null, output);
      kills.push(tasks);
      process.stdout.write(`# ${playbook}: killed after ${tasks} tasks\n`);
    }
  }

  async function requireWhole(): Promise<Ring> {
    const { changed } = await controller.complete('site', settings);
    assert.deepEqual(changed, { cp1: 0, cp2: 0, cp3: 0 });
    await controller.complete('verify', settings);
    assert.equal(new Set(hosts.map((host) => host.sh('kleidi ring digest --live'))).size, 1);
    const ring = JSON.parse(plane.host(0).sh('kleidi ring show --json')) as Ring;
    const scan = scanSnapshot(plane, 0);
    assert.equal(scan.secretsInClear, 0);
    assert.deepEqual(liveKeyIds(scan), [ring.keyId]);
    for (const index of hosts.keys()) {
      assert.equal(await api.secret(index, 'before'), text);
      assert.notEqual(plane.host(index).try('test -e /var/lib/kleidi/ceremony').exitCode, 0);
    }
    return ring;
  }

  test('site, killed on its way from bare hosts: one ring, all Secrets sealed', async (t) => {
    await api.createSecret(0, 'before', text);
    const kills = await completeThroughKills('site', 15);
    t.diagnostic(`killed after ${kills.join(', ')} tasks`);
    assert.ok(kills.length >= wantedKills, `${kills.length} kills`);
    const { generation, keks } = await requireWhole();
    assert.equal(generation, 1);
    assert.equal(keks.length, 1);
  });

  test('rotate, killed on its way: one new KEK, all Secrets under it', async (t) => {
    const kills = await completeThroughKills('rotate', 9);
    t.diagnostic(`killed after ${kills.join(', ')} tasks`);
    assert.ok(kills.length >= wantedKills, `${kills.length} kills`);
    const { generation, keks } = await requireWhole();
    assert.equal(generation, 2);
    assert.equal(keks.length, 2);
  });
});
