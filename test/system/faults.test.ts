// What goes wrong on a host, each with a client waiting all the time: a clear
// line with the fix, no loop, the socket stays, and it serves as soon as it is mended.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { installedHost } from '../support/installed.ts';
import { onHosts, type SystemHost } from '../support/systemhost.ts';

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

interface Fault {
  readonly name: string;
  readonly plant: string;
  readonly mend: string;
  /** What the journal of the unit must say, the fix in it. */
  readonly says: readonly RegExp[];
  /** The daemon cannot stay up; otherwise STATUS= says it too. */
  readonly ends?: true;
  /** An operator's restart is part of the repair. */
  readonly restart?: true;
}

const faults: readonly Fault[] = [
  {
    name: 'a credential that was tampered with',
    plant:
      'cp -p /etc/kleidi/credentials/pin.cred /var/aside/; sed -i "2s/./A/20;2s/./B/21;2s/./C/22" /etc/kleidi/credentials/pin.cred; sed -i "1s/^.\\{8\\}/AAAAAAAA/" /etc/kleidi/credentials/pin.cred',
    mend: 'cp -p /var/aside/pin.cred /etc/kleidi/credentials/',
    says: [/error: systemd cannot open the PIN credential/, /hint: .*backup/],
    ends: true,
  },
  {
    name: 'a missing credential',
    plant: 'mv /etc/kleidi/credentials/pin.cred /var/aside/',
    mend: 'mv /var/aside/pin.cred /etc/kleidi/credentials/',
    says: [/error: there is no PIN/, /hint: .*pin\.cred back/],
    ends: true,
  },
  {
    name: 'a configuration with a bad field',
    plant:
      'cp -p /etc/kleidi/kleidi.yaml /var/aside/; echo "selfTest: { intervalMs: soon }" >> /etc/kleidi/kleidi.yaml',
    mend: 'cp -p /var/aside/kleidi.yaml /etc/kleidi/',
    says: [/selfTest.*: found "soon"|already|duplicate|unique/i, /hint: .*config check/],
    ends: true,
  },
  {
    name: 'a wrong PIN',
    plant:
      'mv /etc/kleidi/credentials/pin.cred /var/aside/; printf 000000000000 | systemd-creds encrypt --with-key=host --name=pin - /etc/kleidi/credentials/pin.cred',
    mend: 'mv /var/aside/pin.cred /etc/kleidi/credentials/',
    says: [/PIN|damaged/],
    restart: true,
  },
  {
    name: 'a token folder of the wrong owner',
    plant: 'chown -R root:root /var/lib/kleidi/tokens',
    mend: 'chown -R kleidi:kleidi /var/lib/kleidi/tokens',
    says: [/token/],
  },
  {
    name: 'a missing token folder',
    plant:
      'mv /var/lib/kleidi/tokens /var/aside/; install -d -o kleidi -g kleidi -m 700 /var/lib/kleidi/tokens',
    mend: 'rmdir /var/lib/kleidi/tokens; mv /var/aside/tokens /var/lib/kleidi/',
    says: [/token/],
  },
  {
    name: 'a missing module',
    plant: 'mv /usr/lib/softhsm /usr/lib/gone',
    mend: 'mv /usr/lib/gone /usr/lib/softhsm',
    says: [/module/i, /libsofthsm2\.so/],
  },
  {
    name: 'a corrupt ring file',
    plant: 'cp -p /var/lib/kleidi/ring.json /var/aside/; echo "{" > /var/lib/kleidi/ring.json',
    mend: 'cp -p /var/aside/ring.json /var/lib/kleidi/',
    says: [/ring file .*not|ring/],
  },
  {
    name: 'a missing ring file',
    plant: 'mv /var/lib/kleidi/ring.json /var/aside/',
    mend: 'mv /var/aside/ring.json /var/lib/kleidi/',
    says: [/ring file .* does not exist/],
  },
];

await onHosts(async () => {
  const host = await installedHost();
  host.write('/var/aside/waiter.js', waiter);
  const client = host.spawn('exec /usr/lib/kleidi/bin/node /var/aside/waiter.js');
  after(() => client.kill());

  for (const fault of faults) {
    test(fault.name, async (t) => {
      await host.until('kleidi status');
      try {
        requireTold(host, fault, await suffer(host, fault));
      } finally {
        host.sh(fault.mend);
      }
      if (fault.restart === true) host.sh('systemctl restart --no-block kleidi.service');
      const mendedMs = Date.now();
      await host.until('kleidi status');
      t.diagnostic(`served ${Date.now() - mendedMs} ms after the repair`);
    });
  }

  test('a token folder that is full or read-only: it serves on, and the command says why it cannot write', async () => {
    host.sh(`systemctl stop kleidi.service; cp -a /var/lib/kleidi/tokens /var/aside/copy
      mount -t tmpfs -o size=64k,uid=$(id -u kleidi),gid=$(id -g kleidi),mode=0700 full /var/lib/kleidi/tokens
      cp -a /var/aside/copy/. /var/lib/kleidi/tokens/; head -c 100000 /dev/zero > /var/lib/kleidi/tokens/fill 2>/dev/null
      systemctl start kleidi.service`);
    await host.until('kleidi status');
    const full = host.try('kleidi key create');
    assert.equal(full.exitCode, 1, full.stderr);
    assert.match(full.stderr, /^kleidi: hint: .*(space|full|read-only)/m);
    assert.match(full.stderr, /^kleidi: error: /m);
    host.sh('rm /var/lib/kleidi/tokens/fill; mount -o remount,ro /var/lib/kleidi/tokens');
    const readOnly = host.try('kleidi key create');
    assert.equal(readOnly.exitCode, 1, readOnly.stderr);
    host.sh('systemctl restart kleidi.service');
    await host.until('kleidi status');
    host.sh(
      'systemctl stop kleidi.service; umount /var/lib/kleidi/tokens; systemctl start kleidi.service',
    );
    await host.until('kleidi status');
  });

  test('a daemon that dies at each start is started in no loop, and serves once it is mended', async () => {
    host.sh(
      'mv /usr/lib/kleidi/kleidi.js /var/aside/; echo "process.kill(process.pid, 9)" > /usr/lib/kleidi/kleidi.js',
    );
    const since = host.sh('date +%s.%N');
    host.sh('systemctl restart --no-block kleidi.service');
    const told = /error: the daemon ended 4 times, each right after its start/;
    const journal = await until(host, since, (entries) => {
      const at = entries.findIndex(({ text }) => told.test(text));
      return at >= 0 && startsIn(entries.slice(at)).length >= 2;
    });
    const at = journal.findIndex(({ text }) => told.test(text));
    requireApart(startsIn(journal.slice(at)));
    assert.equal(host.sh('systemctl is-active kleidi.socket'), 'active');
    host.sh('mv /var/aside/kleidi.js /usr/lib/kleidi/kleidi.js');
    await host.until('kleidi status');
  });

  test('the client that waited was never refused', () => {
    client.kill();
    assert.doesNotMatch(host.journal('kleidi.socket'), /limit|failed/i);
  });
});

interface Entry {
  readonly atS: number;
  readonly text: string;
}

/** A broken host tries once in 5 s; what is lost to rounding and scheduling is less than this. */
const leastApartS = 4.5;

/** Plants it, lets the daemon meet it, and returns what the journal says. */
async function suffer(host: SystemHost, fault: Fault): Promise<readonly Entry[]> {
  host.sh('systemctl stop kleidi.service; rm -f /run/kleidi-daemon.deaths');
  host.sh(fault.plant);
  // The waiting client may have had it started before that.
  const since = host.sh('date +%s.%N');
  host.sh('systemctl restart --no-block kleidi.service');
  // A loop shows in the next start, where there is one.
  const due = fault.ends === true ? 2 : 1;
  const journal = await until(
    host,
    since,
    (entries) => startsIn(entries).length >= due && fault.says.every((each) => says(entries, each)),
  );
  assert.equal(host.sh('systemctl is-active kleidi.socket'), 'active');
  assert.equal(host.try('test -S /run/kleidi/kms.sock').exitCode, 0);
  return journal;
}

function requireTold(host: SystemHost, fault: Fault, journal: readonly Entry[]): void {
  const starts = startsIn(journal);
  if (fault.ends === true) {
    requireApart(starts);
    return;
  }
  assert.equal(starts.length, 1, 'one start, and it stays up');
  assert.match(host.try('systemctl status kleidi').stdout, /Status: "Not serving: /);
}

/** Times of the starts, in seconds. */
function startsIn(journal: readonly Entry[]): number[] {
  return journal
    .filter(({ text }) => text.startsWith('Starting kleidi.service'))
    .map(({ atS }) => atS);
}

function requireApart(startsS: readonly number[]): void {
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
async function until(
  host: SystemHost,
  since: string,
  isWanted: (entries: readonly Entry[]) => boolean,
): Promise<readonly Entry[]> {
  for (const endMs = performance.now() + 120_000; ; await sleep(200)) {
    const entries = journalSince(host, since);
    if (isWanted(entries)) return entries;
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
