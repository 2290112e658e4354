// kill -9 before every step of pin set that changes a file, of the command and of its token
// child at once: whichever PIN the token has is on disk, and the next run finishes or drops it.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeRecovery } from '../support/ceremony.ts';
import { temporaryFolder } from '../support/folder.ts';
import { TestHost } from '../support/host.ts';
import { KillAtStep, type WalkOptions } from '../support/killatstep.ts';
import { kleidi, type Result } from '../support/kleidi.ts';
import { isLong } from '../support/long.ts';
import { passphrase } from '../support/recoveryset.ts';

const recovery = await makeRecovery(temporaryFolder());
const named = `${recovery.pub}=${recovery.sha256}`;
const kill = new KillAtStep();

function leftovers(host: TestHost): string[] {
  const names = readdirSync(host.folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => /pending|\.tmp$|change$/.test(name));
}

function onDisk(path: string): string[] {
  return [path, `${path}.pending`]
    .filter((each) => existsSync(each))
    .map((each) => readFileSync(each, 'utf8'));
}

/**
 * Whether this PIN opens the token as it is. Asked of a copy: SoftHSM writes token.object anew
 * in place at each login, so that two questions at once would read each other's half of it.
 */
async function opensWith(host: TestHost, pin: string): Promise<boolean> {
  const copy = temporaryFolder();
  const softhsmConf = join(copy, 'softhsm2.conf');
  cpSync(host.tokens, join(copy, 'tokens'), { recursive: true });
  writeFileSync(softhsmConf, `directories.tokendir = ${join(copy, 'tokens')}\n`);
  const settings = {
    ...{
      module: '/usr/lib/softhsm/libsofthsm2.so',
      token: 'kleidi',
      softhsmConf,
    },
    ...{ runtimeDir: join(host.folder, 'run'), callTimeoutMs: 5_000, openTimeoutMs: 20_000 },
  };
  const input = `${JSON.stringify({ settings, pin, fps: [] })}\n`;
  return (await kleidi(['verify-token'], { input })).exitCode === 0;
}

/** By what the part is: opening one takes a second, by its passphrase. */
const pins = new Map<string, Promise<string>>();

function pinOf(part: string): Promise<string> {
  const known = pins.get(part) ?? openedPart(part);
  pins.set(part, known);
  return known;
}

async function openedPart(part: string): Promise<string> {
  const folder = temporaryFolder();
  const [path, out] = [join(folder, 'part'), join(folder, 'pin')];
  writeFileSync(path, part);
  const args = ['recovery', 'pin', path, '--key', recovery.key, '--out', out];
  const { exitCode } = await kleidi([...args, '--passphrase-fd', '0'], { input: passphrase });
  assert.equal(exitCode, 0);
  return readFileSync(out, 'utf8');
}

async function partOpensToken(host: TestHost): Promise<boolean> {
  for (const part of onDisk(join(host.folder, 'state/pin.recovery.json')))
    if (await opensWith(host, await pinOf(part))) return true;
  return false;
}

/** The steps of the command alone, and those of both; all of both in the long run. */
const walks: readonly (readonly [string, WalkOptions])[] = [
  ['the command is killed', {}],
  ['command and token child are killed', { child: 'token-work', every: isLong ? 1 : 12 }],
];

for (const [who, options] of walks) {
  test(`pin set --change: ${who}`, async (t) => {
    const host = new TestHost();
    assert.equal((await host.run('provision', '--recovery', named)).exitCode, 0);
    let count = 0;
    const change = (env: NodeJS.ProcessEnv, pin: string): Promise<Result> =>
      host.runWith(
        { env, ownGroup: true, input: `${pin}\n` },
        ...['pin', 'set', '--change', '--recovery', named],
      );
    const ends = new Set<string>();
    const { steps, last } = await kill.walk(
      'set',
      (env) => change(env, `pin-number-${++count}`),
      async (step) => {
        const at = `killed before step ${step}`;
        const opening = await Promise.all(onDisk(host.pinPath).map((pin) => opensWith(host, pin)));
        assert.ok(opening.includes(true), `${at}: a PIN on disk opens the token`);
        assert.ok(await partOpensToken(host), `${at}: so does a part for the recovery key`);
        const again = await host.run('pin', 'set', '--change', '--json');
        // Where nothing waits there is nothing to do without a new PIN.
        if (again.exitCode === 0)
          ends.add((JSON.parse(again.stdout) as { outcome: string }).outcome);
        else assert.match(again.stderr, /no terminal to ask|no recovery key is named/, at);
        assert.deepEqual(
          leftovers(host).filter((name) => !/change|tmp/.test(name)),
          [],
          at,
        );
        const list = await host.run('key', 'list');
        assert.equal(list.exitCode, 0, `${at}: ${list.stderr}`);
      },
      options,
    );
    assert.equal(last.exitCode, 0, last.stderr);
    assert.equal(host.pin, `pin-number-${count}`);
    assert.equal(await opensWith(host, host.pin), true);
    t.diagnostic(`${steps} steps; ${[...ends].join(', ')}`);
    assert.ok(steps >= 10, String(steps));
    // Between the new PIN on disk and the one in the token only the child changes files.
    assert.ok(ends.has(options.child === undefined ? 'finished' : 'dropped'), [...ends].join());
  });
}

test('pin set of a PIN that the token has: killed before each step, kept by the next', async (t) => {
  const host = await TestHost.provisioned();
  const old = host.pin;
  const given = await host.runWith({ input: 'from-elsewhere\n' }, 'pin', 'set', '--change');
  assert.equal(given.exitCode, 0, given.stderr);
  const mode = statSync(host.pinPath).mode;
  const forget = (): void => writeFileSync(host.pinPath, old, { mode });
  forget();
  const { steps, last } = await kill.walk(
    'set',
    (env) => host.runWith({ env, input: 'from-elsewhere\n' }, 'pin', 'set'),
    async (step) => {
      const { exitCode, stderr } = await host.runWith({ input: 'from-elsewhere\n' }, 'pin', 'set');
      assert.equal(exitCode, 0, `killed before step ${step}: ${stderr}`);
      assert.equal(host.pin, 'from-elsewhere');
      forget();
    },
  );
  assert.equal(last.exitCode, 0, last.stderr);
  assert.equal(host.pin, 'from-elsewhere');
  assert.deepEqual(leftovers(host), []);
  t.diagnostic(`${steps} steps`);
  assert.ok(steps >= 5, String(steps));
});

test('a change that was killed is named by doctor, provision and a command that is refused', async () => {
  const host = await TestHost.provisioned();
  const kept = host.pin;
  writeFileSync(`${host.pinPath}.pending`, 'what-the-token-has', { mode: 0o400 });
  const doctor = await host.run('doctor', '--only', 'credential');
  assert.match(
    doctor.stdout,
    /FAIL .*PIN has not come to its end: .*\.pending\n +do: kleidi pin set/,
  );
  const provisioned = await host.run('provision');
  assert.match(provisioned.stderr, /warning: a change of the PIN was interrupted .*kleidi pin set/);
  // The token has it: changed behind the back of this host.
  const changed = await host.runWith({ input: 'what-the-token-has\n' }, 'pin', 'set', '--change');
  assert.equal(changed.exitCode, 0, changed.stderr);
  writeFileSync(host.pinPath, kept, { mode: 0o400 });
  writeFileSync(`${host.pinPath}.pending`, 'what-the-token-has', { mode: 0o400 });
  const list = await host.run('key', 'list');
  assert.equal(list.exitCode, 1);
  assert.match(list.stderr, /a change of the PIN was interrupted\n.*hint: kleidi pin set finishes/);
  const finished = await host.run('pin', 'set');
  assert.equal(finished.exitCode, 0, finished.stderr);
  assert.equal(host.pin, 'what-the-token-has');
  const neither = ['neither-of-them', 'nor-this-one'] as const;
  writeFileSync(host.pinPath, neither[0], { mode: 0o400 });
  writeFileSync(`${host.pinPath}.pending`, neither[1], { mode: 0o400 });
  const refused = await host.run('pin', 'set');
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /refuses the PIN that is kept, and the one that waits/);
  assert.deepEqual(onDisk(host.pinPath), [...neither]);
});
