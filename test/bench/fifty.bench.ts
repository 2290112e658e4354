// What the playbooks take with many masters: site from bare hosts (kleidi_phase none: no API
// servers), site again over hosts that are done, and verify, with so many hosts asked at once
// (forks). Booted hosts, over ssh; they share the processors with the controller.
//
//   node test/bench/fifty.bench.ts [HOSTS [FORKS...]]
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { Controller, rolloutSettings } from '../support/ansible.ts';
import { makeRecovery } from '../support/ceremony.ts';
import { bareHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';
import { type Cost, costOf } from './played.ts';

const [count = 10, ...given] = process.argv.slice(2).map(Number);
const forks = given.length > 0 ? given : [5, 10, 25];

interface Row extends Cost {
  readonly what: string;
  readonly forks: number;
}

function table(rows: readonly Row[]): string {
  const lines = rows.map((row) =>
    [
      row.what.padEnd(16),
      String(row.forks).padStart(5),
      `${row.seconds.toFixed(0)} s`.padStart(8),
      `${row.cpuSeconds.toFixed(0)} s`.padStart(8),
      `${row.peakMb.toFixed(0)} MB`.padStart(8),
    ].join(' '),
  );
  return ['what             forks     wall      CPU     peak', ...lines].join('\n');
}

/** The plays that take a second or more. */
function longPlays({ what, plays }: Row): string {
  const long = plays.filter(({ seconds }) => seconds >= 1);
  const lines = long.map(
    ({ name, times, seconds }) =>
      `  ${seconds.toFixed(1).padStart(7)} s  ${name}${times === 1 ? '' : `: ${(seconds / times).toFixed(1)} s a host`}`,
  );
  return [`${what}:`, ...lines].join('\n');
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function booted(): Promise<Map<string, SystemHost>> {
  const hosts = new Map<string, SystemHost>();
  for (let i = 1; i <= count; i += 1) {
    hosts.set(`cp${String(i).padStart(2, '0')}`, await bareHost());
  }
  return hosts;
}

await onHosts(async () => {
  const hosts = await booted();
  const controller = new Controller(hosts);
  const recovery = await makeRecovery(controller.folder);
  const settings = { kleidi_ring: 'prod', ...rolloutSettings(recovery), kleidi_phase: 'none' };
  const rows: Row[] = [];

  async function measure(what: string, playbook: string, atOnce: number): Promise<void> {
    controller.forks = atOnce;
    const cost = await costOf(controller, () => controller.complete(playbook, settings));
    const row = { what, forks: atOnce, ...cost };
    rows.push(row);
    say(JSON.stringify({ hosts: count, ...row }));
  }

  test(`${count} hosts, forks ${forks.join(', ')}`, async () => {
    await measure('site, bare', 'site', Math.max(...forks));
    for (const atOnce of forks) await measure('site again', 'site', atOnce);
    for (const atOnce of forks) await measure('verify', 'verify', atOnce);
    const digests = [...hosts.values()].map((host) => host.sh('kleidi ring digest --live'));
    assert.equal(new Set(digests).size, 1);
    const lastOf = (what: string) => rows.findLast((row) => row.what === what) ?? assert.fail();
    say(`\n${count} hosts\n${table(rows)}`);
    for (const what of ['site, bare', 'site again', 'verify']) say(longPlays(lastOf(what)));
  });
});
