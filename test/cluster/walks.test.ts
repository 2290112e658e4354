// The procedures of docs/operations.md from bare packages to their end, with real API
// servers, by the commands that stand there. What each asks of the operator is printed, and
// does not grow: commands, and strings that are brought from another machine.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { waitFor } from '../support/apiservers.ts';
import { onCluster } from '../support/clusterbinaries.ts';
import { bringSnapshot, scanSnapshot } from '../support/clustersnapshot.ts';
import { ControlPlane } from '../support/controlplane.ts';
import { bareHost } from '../support/installed.ts';
import { passphrase } from '../support/recoveryset.ts';
import { Machine, pasted, Walk } from '../support/walk.ts';

const ofNew = 'six random words are made): ';
const again = 'the same passphrase again: ';
const ofKey = 'passphrase of the recovery key: ';
const newPassphrase = [
  [ofNew, `${passphrase}\r`],
  [again, `${passphrase}\r`],
] as const;
const knownPassphrase = [[ofKey, `${passphrase}\r`]] as const;
const master = ['RING=prod', 'FIRST_KEK=no'];
const exportRing = 'kleidi ring export --out ring.json';
const text = 'in-a-secret-0123456789';

await onCluster(async (binaries) => {
  const plane = await ControlPlane.boot(binaries);
  const { api } = plane;
  const masters = plane.hosts.map((host, index) => new Machine(`cp${index + 1}`, host));
  const [cp1, cp2, cp3, cp4, offline] = [
    ...masters,
    new Machine('cp4', await bareHost()),
    new Machine('offline', await bareHost()),
  ] as [Machine, Machine, Machine, Machine, Machine];
  const others = [cp2, cp3];
  const all = [...masters, cp4, offline];

  function requireAtMost(t: TestContext, walk: Walk, commands: number, strings: number): void {
    t.diagnostic(walk.report);
    assert.ok(walk.counts.commands <= commands, walk.report);
    assert.ok(walk.counts.strings <= strings, walk.report);
  }

  function requireSameRing(...machines: readonly Machine[]): string {
    const digests = machines.map(({ host }) => host.sh('kleidi ring digest --live'));
    for (const { host } of machines) host.sh('kleidi status');
    assert.equal(new Set(digests).size, 1, digests.join());
    assert.match(digests[0] ?? '', /^sha256:/);
    return digests[0] ?? '';
  }

  /** @returns --for FILE=SHA256, for each */
  function requests(walk: Walk, to: Machine, ...from: readonly Machine[]): string {
    const named = from.map((machine) => {
      const file = `${machine.name}.request`;
      const shown = walk.run(machine, `kleidi key request --out ${file}`);
      walk.copy(machine, to, file);
      return pasted(shown, /--for \S+/);
    });
    return named.join(' ');
  }

  const bundlesOf = ({ host }: Machine): string[] =>
    host.sh('ls /var/lib/kleidi/bundles/*.json').split('\n');

  /** The command that `shown` names, where the file has been brought. */
  function join(walk: Walk, from: Machine, to: Machine, shown: string): string {
    const command = pasted(shown, /kleidi join .*/);
    walk.copy(from, to, pasted(command, /\S+\.bundle/));
    return walk.run(to, command);
  }

  /** The offline half: all KEKs of the ring of cp1 for a machine, which joins with them. */
  async function rewrapInto(
    walk: Walk,
    to: Machine,
    named: string,
    exported: string,
    recovery = 'recovery',
  ): Promise<void> {
    walk.copy(cp1, offline, 'ring.json', ...bundlesOf(cp1));
    const ring = pasted(exported, /--ring .*/);
    const bundle = `${to.name}-${to.shown.length}.bundle`;
    const shown = await walk.answer(
      offline,
      `kleidi recovery rewrap bundles/*.json --key ${recovery}.key ${named} ${ring} --out ${bundle}`,
      knownPassphrase,
    );
    walk.copy(offline, to, `${recovery}.pub`, bundle);
    walk.run(to, `${pasted(shown, /kleidi join .*/)} --recovery ${recovery}.pub`);
  }

  /** Sealed under this generation, as soon as the API server has asked kleidi. */
  async function sealsWith(index: number, generation: number): Promise<void> {
    let made = 0;
    await waitFor(
      async () => {
        const name = `under-${generation}-by-${index}-${made++}`;
        await api.createSecret(index, name, text);
        return plane.storedSecret(index, name).includes(`k1.prod.${generation}.`);
      },
      () => `host ${index} does not write with generation ${generation}`,
    );
  }

  test('first key', async (t) => {
    const walk = new Walk('first key', all);
    walk.install(offline, 'ROLE=offline');
    const made = await walk.answer(offline, 'kleidi recovery create --out recovery', newPassphrase);
    const recovery = pasted(made, /RECOVERY_KEY=.*/).split(', ');
    for (const machine of masters) {
      walk.copy(offline, machine, 'recovery.pub');
      walk.install(machine, ...master, ...recovery);
    }
    const named = `${requests(walk, cp1, ...others)} ${pasted(made, /--recovery \S+/)}`;
    const created = walk.run(cp1, `kleidi key create --first ${named} --out kek.bundle`);
    for (const machine of others) join(walk, cp1, machine, created);
    walk.copy(cp1, offline, 'kek.bundle');
    const test = 'kleidi recovery test kek.bundle --key recovery.key';
    await walk.answer(offline, test, knownPassphrase);
    requireSameRing(...masters);
    requireAtMost(t, walk, 11, 4);
  });

  test('enable', async (t) => {
    const walk = new Walk('enable', all);
    const next: string[] = [];
    for (const [index, machine] of masters.entries()) {
      const shown = walk.run(machine, 'kleidi apiserver enable --phase read');
      next.push(pasted(shown, /kleidi apiserver enable --phase write .*/));
      walk.run(machine, pasted(shown, /systemctl daemon-reload .*(?=\. Next)/));
      await api.ready(index);
    }
    const [fromFirst = '', fromSecond = ''] = next;
    walk.run(cp1, fromSecond);
    for (const machine of others) walk.run(machine, fromFirst);
    // It reads the file again within two minutes; a restart is quicker.
    for (const index of masters.keys()) await plane.restartApiServer(index);
    for (const index of masters.keys()) await sealsWith(index, 1);
    requireAtMost(t, walk, 9, 2);
  });

  const rotation = new Walk('rotation', all);

  test('rotation: a new KEK on every master', () => {
    const walk = rotation;
    const named = requests(walk, cp1, ...others);
    const created = walk.run(
      cp1,
      `kleidi key create ${named} --recovery recovery.pub --out rotation.bundle`,
    );
    const joined = others.map((machine) => join(walk, cp1, machine, created));
    for (const [index, shown] of [created, ...joined].entries()) {
      walk.run(masters[index] as Machine, pasted(shown, /kleidi key promote .*/));
    }
    requireSameRing(...masters);
  });

  test('new master', async (t) => {
    const walk = new Walk('new master', all);
    walk.install(cp4, ...master);
    const named = requests(walk, offline, cp4);
    await rewrapInto(walk, cp4, named, walk.run(cp1, exportRing));
    requireSameRing(...masters, cp4);
    requireAtMost(t, walk, 5, 2);
  });

  test('rotation: once the API servers have the new key, Secrets are rewritten', async (t) => {
    const walk = rotation;
    // The one that kubectl on cp1 asks.
    await sealsWith(1, 2);
    for (const index of masters.keys()) {
      assert.equal(await api.secret(index, 'under-1-by-1-0'), text, 'still under the old KEK');
    }
    walk.run(cp1, 'kubectl get secrets -A -o json | kubectl replace -f -');
    for (const index of masters.keys()) {
      assert.ok(plane.storedSecret(index, 'under-1-by-1-0').includes('k1.prod.2.'));
      assert.equal(await api.secret(index, 'under-1-by-1-0'), text);
    }
    requireAtMost(t, walk, 9, 3);
  });

  test('lost token', async (t) => {
    const walk = new Walk('lost token', all);
    cp2.host.sh('rm -r /var/lib/kleidi/tokens/*');
    const exported = walk.run(cp1, exportRing);
    walk.copy(cp1, cp2, 'ring.json');
    walk.run(cp2, pasted(exported, /kleidi provision --replace lost-token .*/));
    const named = requests(walk, offline, cp2);
    await rewrapInto(walk, cp2, named, exported);
    walk.run(cp2, 'systemctl restart kleidi');
    await cp2.host.until('kleidi status');
    requireSameRing(...masters, cp4);
    assert.equal(await api.secret(1, 'under-1-by-1-0'), text);
    requireAtMost(t, walk, 6, 2);
  });

  test('copied disk', async (t) => {
    const kept = 'etc/kleidi var/lib/kleidi var/lib/systemd/credential.secret*';
    cp3.host.sh(`cd / && tar -czf /root/disk.tgz ${kept}`);
    cp4.host.write('/root/disk.tgz', readFileSync(cp3.host.outside('/root/disk.tgz')));
    cp4.host.sh(`systemctl stop kleidi.socket kleidi && cd / && rm -r ${kept}
      tar -xzf /root/disk.tgz && systemctl start --no-block kleidi.socket kleidi`);
    const walk = new Walk('copied disk', all);
    walk.run(cp4, 'kleidi provision --replace copied-disk --copied');
    const named = requests(walk, offline, cp4);
    await rewrapInto(walk, cp4, named, walk.run(cp1, exportRing));
    await cp4.host.until('kleidi status');
    requireSameRing(...masters, cp4);
    requireAtMost(t, walk, 5, 2);
  });

  test('replaced recovery key', async (t) => {
    const walk = new Walk('replaced recovery key', all);
    const made = await walk.answer(offline, 'kleidi recovery create --out new', newPassphrase);
    const ring = pasted(walk.run(cp1, exportRing), /--ring .*/);
    walk.copy(cp1, offline, 'ring.json', ...bundlesOf(cp1));
    const pub = pasted(made, /--recovery \S+/);
    const shown = await walk.answer(
      offline,
      `kleidi recovery replace bundles/*.json --key recovery.key ${pub} ${ring} --out new.bundle`,
      knownPassphrase,
    );
    const test = 'kleidi recovery test new.bundle --key new.key';
    await walk.answer(offline, test, knownPassphrase);
    for (const machine of [...masters, cp4]) {
      walk.copy(offline, machine, 'new.pub');
      join(walk, offline, machine, shown);
    }
    walk.run(cp1, 'kleidi backup --out backup.json');
    requireSameRing(...masters, cp4);
    requireAtMost(t, walk, 9, 3);
  });

  test('new master, with the new recovery key alone', async (t) => {
    cp4.host.sh('KLEIDI_FORCE_REMOVE=yes KLEIDI_PURGE_KEYS=yes dpkg --purge kleidi');
    const walk = new Walk('new master', all);
    walk.install(cp4, ...master);
    const named = requests(walk, offline, cp4);
    await rewrapInto(walk, cp4, named, walk.run(cp1, exportRing), 'new');
    requireSameRing(...masters, cp4);
    requireAtMost(t, walk, 5, 2);
  });

  test('drill from nothing', async (t) => {
    cp4.host.sh('KLEIDI_FORCE_REMOVE=yes KLEIDI_PURGE_KEYS=yes dpkg --purge kleidi');
    const walk = new Walk('drill from nothing', all);
    walk.copy(cp1, offline, 'backup.json');
    for (const { host } of masters) {
      host.sh('systemctl stop kleidi && rm -r /var/lib/kleidi /etc/kleidi/credentials /root/*');
    }
    const [, digest = ''] = /recovery test: --expect (\S+)/.exec(cp1.shown) ?? [];
    for (const machine of masters) {
      walk.copy(offline, machine, 'backup.json', 'new.pub');
      walk.run(
        machine,
        `kleidi provision --replace lost-token --member-ring backup.json --expect ${digest}`,
      );
    }
    walk.counted(cp1, 'etcdctl snapshot save etcd.db');
    bringSnapshot(plane, 0);
    const scanned = walk.run(cp1, 'kleidi snapshot scan etcd.db', 1);
    const highest = Number(/highest generation .* (\d+)/.exec(scanned)?.[1]);
    const named = requests(walk, offline, ...masters);
    const from = `--ring backup.json --expect ${digest} --all-lost --generation ${highest + 1}`;
    const shown = await walk.answer(
      offline,
      `kleidi recovery rewrap backup.json --key new.key ${named} ${from} --out all.bundle`,
      knownPassphrase,
    );
    for (const machine of masters) {
      walk.copy(offline, machine, 'all.bundle');
      // systemd tries a start that has failed again after some seconds.
      await machine.host.until("kleidi status | grep -q 'not serving'", 120_000);
      walk.run(machine, `${pasted(shown, /kleidi join .*/)} --recovery new.pub`);
    }
    requireSameRing(...masters);
    for (const index of masters.keys()) {
      await plane.restartApiServer(index);
      assert.equal(await api.secret(index, 'under-1-by-1-0'), text);
      await sealsWith(index, highest + 1);
      assert.equal(scanSnapshot(plane, index).secretsInClear, 0);
    }
    requireAtMost(t, walk, 12, 5);
  });
});
