// A fault of a host, with a client waiting all the time: planted, met by the
// daemon, told in the journal, fixed. What PID 1 journals shows a loop.
import assert from 'node:assert/strict';
import { after, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SystemHost } from './systemhost.ts';

/** Keeps one connection waiting, whatever happens to it. */
const waiter = `
const { connect } = require('node:http2');
const call = () => {
  const session = connect('http://localhost', { createConnection: () => require('node:net').connect('/run/kleidi/kms.sock') });
  const again = () => { session.destroy(); setTimeout(call, 20); };
  session.on('error', () => {});
  session.on('close', () => {});
  session.request({ ':method': 'POST', ':path': '/v2.KeyManagementService/Status', 'content-type': 'application/grpc', te: 'trailers' })
    .on('error', () => {}).on('close', again).resume().end(Buffer.alloc(5));
};
call();`;

export interface Fault {
  readonly name: string;
  readonly plant: string;
  readonly fix: string;
  /** What the journal of the unit must say, the fix in it. After the first the next try waits. */
  readonly says: readonly RegExp[];
  /** The daemon cannot stay up; otherwise STATUS= says it too. */
  readonly ends?: true;
  /** An operator's restart is part of the repair. */
  readonly restart?: true;
}

/** A client that waits for as long as the test file runs. @returns how to end it */
export function keepWaiting(host: SystemHost): () => void {
  host.write('/var/aside/waiter.js', waiter);
  // Its own name for the runtime: the package's may be what is missing.
  host.sh('ln /usr/lib/kleidi/bin/node /var/aside/node');
  const client = host.spawn('exec /var/aside/node /var/aside/waiter.js');
  const end = (): void => void client.kill();
  after(end);
  return end;
}

/** The whole life of a fault: nothing loops, the fix is told, and it heals by itself. */
export async function sufferAndMend(host: SystemHost, fault: Fault, t: TestContext): Promise<void> {
  await host.until('kleidi status');
  try {
    requireTold(host, fault, await suffer(host, fault));
  } finally {
    host.sh(fault.fix);
  }
  if (fault.restart === true) host.sh('systemctl restart --no-block kleidi.service');
  const mendedMs = Date.now();
  await host.until('kleidi status');
  t.diagnostic(`served ${Date.now() - mendedMs} ms after the repair`);
}

export interface Entry {
  readonly atS: number;
  readonly text: string;
}

/** A broken host tries once in 5 s; what is lost to rounding and scheduling is less than this. */
const leastApartS = 4.5;

/**
 * Plants it and lets the daemon meet it, until the journal tells the fix.
 * @returns the journal; of a daemon that stays up, what came after its start
 */
async function suffer(host: SystemHost, fault: Fault): Promise<readonly Entry[]> {
  host.sh('systemctl stop kleidi.service; rm -f /run/kleidi-daemon.starts');
  host.sh(fault.plant);
  // The waiting client may have had it started before that.
  const since = host.sh('date +%s.%N');
  // One that stays up is waited for: the client's own start may have come first.
  const wait = fault.ends === true ? '--no-block ' : '';
  host.sh(`systemctl restart ${wait}kleidi.service`);
  const upS = Number(host.sh('date +%s.%N'));
  // A loop shows in the next tries.
  const due = fault.ends === true ? 3 : 0;
  const journal = await until(
    host,
    since,
    (entries) =>
      heldUp(fault, entries).length >= due && fault.says.every((each) => says(entries, each)),
  );
  assert.equal(host.sh('systemctl is-active kleidi.socket'), 'active');
  assert.equal(host.try('test -S /run/kleidi/kms.sock').exitCode, 0);
  return fault.ends === true ? journal : journal.filter(({ atS }) => atS > upS);
}

function requireTold(host: SystemHost, fault: Fault, journal: readonly Entry[]): void {
  if (fault.ends === true) {
    requireApart(heldUp(fault, journal));
    return;
  }
  assert.deepEqual(startsIn(journal), [], 'it stays up');
  assert.match(host.try('systemctl status kleidi').stdout, /Status: "Not serving: /);
}

/** Of a daemon that cannot stay up: when it was first told, and each try after that. */
function heldUp(fault: Fault, journal: readonly Entry[]): readonly number[] {
  const told = fault.says[0] ?? /^$/;
  const at = journal.findIndex((entry) => says([entry], told));
  const from = journal.slice(at === -1 ? journal.length : at);
  return [...from.slice(0, 1).map(({ atS }) => atS), ...startsIn(from)];
}

/** What PID 1 says of each try, also of one that comes to no process. */
const tries =
  /^(?:Starting kleidi\.service|Dependency failed for kleidi\.service|kleidi\.service: Failed to (?:run|spawn) 'start' task)/;

/** Times of the tries to start it, in seconds. */
export function startsIn(journal: readonly Entry[]): number[] {
  return journal.filter(({ text }) => tries.test(text)).map(({ atS }) => atS);
}

export function requireApart(startsS: readonly number[]): void {
  startsS.slice(1).forEach((atS, i) => {
    const apartS = atS - (startsS[i] ?? 0);
    assert.ok(apartS >= leastApartS, `${apartS} s between two starts`);
  });
}

/** Said by kleidi itself or by its guard, not by systemd. */
function says(journal: readonly Entry[], pattern: RegExp): boolean {
  const own = journal.filter(({ text }) => !text.startsWith('kleidi.service:'));
  return pattern.test(own.map(({ text }) => text).join('\n'));
}

/** Waits until the journal of the unit is as wanted, however fast this machine is. */
export async function until(
  host: SystemHost,
  since: string,
  isWanted: (entries: readonly Entry[]) => boolean,
): Promise<readonly Entry[]> {
  for (const endMs = performance.now() + 120_000; ; await sleep(200)) {
    const entries = journalSince(host, since);
    if (isWanted(entries)) return entries;
    assert.ok(startsIn(entries).length < 30, 'PID 1 starts it in a loop');
    if (performance.now() > endMs) assert.fail(`the journal: ${JSON.stringify(entries, null, 1)}`);
  }
}

function journalSince(host: SystemHost, since: string): Entry[] {
  const options = '-b -o short-unix --no-pager';
  const lines = host.sh(`journalctl -u kleidi ${options} --since=@${since}`).split('\n');
  return lines.flatMap((line) => {
    const [, atS, text] = /^(\d+\.\d+) \S+ [^:]+?(?:\[\d+\])?: (.*)$/.exec(line) ?? [];
    return atS === undefined || text === undefined ? [] : [{ atS: Number(atS), text }];
  });
}
