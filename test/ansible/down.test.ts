// A master that is down: named before anything is changed on any host; left out in so many
// words, and not where it could not come back from that.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Controller, type Played, rolloutSettings, type Variables } from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { bareHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

const names = ['cp1', 'cp2', 'cp3'] as const;

await onHosts(async () => {
  const [cp1, cp2, cp3] = [await bareHost(), await bareHost(), await bareHost()];
  const hosts = new Map<string, SystemHost>([
    ['cp1', cp1],
    ['cp2', cp2],
    ['cp3', cp3],
  ]);
  const controller = new Controller(hosts);
  const recovery = await makeRecovery(controller.folder);
  const settings = { kleidi_ring: 'prod', ...rolloutSettings(recovery), kleidi_phase: 'none' };
  const noRecovery = {
    kleidi_recovery_public_key: '',
    kleidi_recovery_sha256: '',
    kleidi_accept_no_recovery: true,
  };
  const withoutCp3 = ['--limit', 'all:!cp3', '-e', 'kleidi_without=cp3'];
  const generationOf = (host: SystemHost): number =>
    (JSON.parse(host.sh('kleidi ring show --json')) as { generation: number }).generation;

  /** Connections that are open live on, and the controller keeps some. */
  const down = (host: SystemHost): void => {
    host.sh('systemctl stop ssh; pkill -u ops sshd || :');
  };
  const up = (host: SystemHost): string => host.sh('systemctl start ssh');

  async function refused(
    playbook: string,
    change: Variables,
    reason: RegExp,
    ...more: string[]
  ): Promise<Played> {
    const played = await controller.play(playbook, { ...settings, ...change }, ...more);
    assert.notEqual(played.exitCode, 0, played.output);
    assert.match(played.output.replace(/\s+/g, ' '), reason);
    assert.ok(Object.values(played.changed).every((count) => count === 0));
    return played;
  }

  test('site names it, and changes no other host', async () => {
    down(cp3);
    await refused('site', {}, /cp3 cannot be reached: .* Nothing was changed on any host/);
    for (const host of [cp1, cp2]) assert.notEqual(host.try('test -e /etc/kleidi').exitCode, 0);
  });

  test('who is left out is named twice, and could come back', async () => {
    await refused('site', {}, /leaves out cp3: a ring/, '--limit', 'all:!cp3');
    await refused('site', {}, /leave them out of the play/, '-e', 'kleidi_without=cp3');
    await refused('site', noRecovery, /cp3 would be without the new KEK/, ...withoutCp3);
    await refused('site', { kleidi_phase: 'write' }, /does not write .* yet/, ...withoutCp3);
    const first = ['--limit', 'all:!cp1', '-e', 'kleidi_without=cp1'];
    await refused('site', {}, /cp1 is the first master, .* cannot be left out/, ...first);
    await refused('replace_recovery', {}, /leaves out cp3: a ring/, ...withoutCp3);
  });

  test('the others get a ring and a rotation without it', async () => {
    await controller.complete('site', settings, ...withoutCp3);
    await refused('rotate', noRecovery, /cp3 would be without the new KEK/, ...withoutCp3);
    await refused('rotate', {}, /cp3 cannot be reached/);
    await controller.complete('rotate', settings, ...withoutCp3);
    assert.deepEqual([cp1, cp2].map(generationOf), [2, 2]);
    assert.equal(new Set([cp1, cp2].map((host) => host.sh('kleidi ring digest --live'))).size, 1);
  });

  test('verify has a row for it and whole rows for the others, and ends with an error', async () => {
    const { output } = await refused('verify', {}, /cp3: cannot be reached/);
    const said = output.replace(/\s+/g, ' ');
    assert.equal(said.match(/"state": "serving"/g)?.length, 2, output);
    assert.match(said, /"host": "cp3", "phase": "-", "state": "cannot be reached: /);
    assert.doesNotMatch(said, /cp[12]: serving/);
    // The first one, too: the others are then compared with one that answers.
    down(cp1);
    const first = await refused('verify', {}, /cp1: cannot be reached/);
    assert.doesNotMatch(first.output, /cp2: serving/);
    up(cp1);
  });

  test('back, it is a new master: site says by which play its KEKs come', async () => {
    up(cp3);
    const played = await controller.play('site', settings);
    assert.notEqual(played.exitCode, 0);
    assert.match(played.output.replace(/\s+/g, ' '), /cp3 is new in a ring that is in use/);
    assert.deepEqual(Object.keys(played.changed).sort(), [...names]);
  });
});
