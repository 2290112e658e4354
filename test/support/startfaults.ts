// Every way in which systemd can fail to start the daemon.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fault, keepWaiting, sufferAndMend } from './hostfaults.ts';
import { installedHost } from './installed.ts';
import type { Suite } from './systemhost.ts';

const dropIn = '/run/systemd/system/kleidi.service.d/fault.conf';

/** Drop-in lines that break the service. */
function dropped(...lines: string[]): Pick<Fault, 'plant' | 'fix'> {
  const text = lines.join('\\n');
  return {
    plant: `mkdir -p $(dirname ${dropIn}); printf '[Service]\\n${text}\\n' > ${dropIn}; systemctl daemon-reload`,
    fix: `rm ${dropIn}; systemctl daemon-reload`,
  };
}

/** A mount unit as a line of /etc/fstab makes it, that fails until it is fixed. */
function failingMount(unit: string, where: string): Pick<Fault, 'plant' | 'fix'> {
  const file = `/run/systemd/system/${unit}`;
  return {
    plant: `mkdir -p /var/aside/data; cp -a ${where}/. /var/aside/data/
      mv /var/lib/kleidi/ring.json /var/aside/ring.kept
      printf '[Mount]\\nWhat=/var/aside/data\\nWhere=${where}\\nType=tmpfs\\nOptions=no-such-option\\n' > ${file}
      systemctl daemon-reload; systemctl start ${unit} || true`,
    fix: `sed -i 's/^Type=.*/Type=none/;s/^Options=.*/Options=bind/' ${file}
      systemctl daemon-reload; systemctl start ${unit}`,
  };
}

/** On both generations of systemd. */
export const startFaults: readonly Fault[] = [
  {
    name: 'a credential that was tampered with',
    plant:
      'cp -p /etc/kleidi/credentials/pin.cred /var/aside/; sed -i "2s/./A/20;2s/./B/21;2s/./C/22" /etc/kleidi/credentials/pin.cred; sed -i "1s/^.\\{8\\}/AAAAAAAA/" /etc/kleidi/credentials/pin.cred',
    fix: 'cp -p /var/aside/pin.cred /etc/kleidi/credentials/',
    says: [/error: no start: exit status 243/, /hint: .*backup/],
    ends: true,
  },
  {
    name: 'a user that does not exist',
    plant: 'cp -p /etc/passwd /var/aside/; sed -i /^kleidi:/d /etc/passwd',
    fix: 'cp -p /var/aside/passwd /etc/',
    says: [/error: the user kleidi does not exist/, /hint: systemd-sysusers/],
    ends: true,
  },
  {
    name: 'a sandbox that cannot be set up',
    ...dropped('BindReadOnlyPaths=/no/such/folder'),
    says: [/error: systemd cannot set up the sandbox/],
    ends: true,
  },
  {
    name: 'a missing runtime',
    plant: 'mv /usr/lib/kleidi/bin /usr/lib/kleidi/gone',
    fix: 'mv /usr/lib/kleidi/gone /usr/lib/kleidi/bin',
    says: [/error: .*cannot be run/, /hint: install the kleidi package again/],
    ends: true,
  },
  {
    name: "the package's folder is gone",
    plant: 'mv /usr/lib/kleidi /usr/lib/gone',
    fix: 'mv /usr/lib/gone /usr/lib/kleidi',
    says: [/error: \/usr\/lib\/kleidi is incomplete/],
    ends: true,
  },
  {
    name: 'an environment file that is missing',
    ...dropped('EnvironmentFile=/no/such/file'),
    says: [/error: systemd cannot start the service/, /hint: .*systemctl cat kleidi/],
    ends: true,
  },
  {
    name: 'a mount below the keys that fails',
    ...failingMount('var-lib-kleidi.mount', '/var/lib/kleidi'),
    says: [/ring file .* does not exist/],
  },
];

/** The hosts of systemd 257 have no controllers in these tests: these are for 252. */
export const oneTask: Fault = {
  name: 'one task, which the runtime cannot do with',
  ...dropped('TasksMax=1'),
  says: [/error: no start: exit status 243/, /hint: .*systemctl cat/],
  ends: true,
};

export const tooLittleMemory: Fault = {
  name: 'too little memory',
  ...dropped('MemoryMax=16M'),
  says: [/error: the daemon ended 4 times/],
  ends: true,
};

/** Not enough for systemd's own part of the process: it fails, or the kernel ends it. */
export const hardlyAnyMemory: Fault = {
  name: 'hardly any memory',
  ...dropped('MemoryMax=512K'),
  says: [
    /error: (?:no start: exit status 243|systemd cannot set the service up \(exit status|the daemon ended 4 times)/,
    /hint: journalctl -u kleidi -b(?:; (?:systemctl cat kleidi|kleidi doctor)| names it; .*: systemctl cat kleidi)$/m,
  ],
  ends: true,
};

/** systemd before 256 requires /var/tmp for PrivateTmp=. */
export const failingRequirement: Fault = {
  name: 'a mount that PrivateTmp= requires fails',
  plant: `printf '[Mount]\\nWhat=tmpfs\\nWhere=/var/tmp\\nType=tmpfs\\nOptions=no-such-option\\n' > /run/systemd/system/var-tmp.mount
    systemctl daemon-reload`,
  fix: `sed -i '/^Options=/d' /run/systemd/system/var-tmp.mount; systemctl daemon-reload`,
  says: [/error: the last start came to no process/, /hint: systemctl --failed/],
  ends: true,
};

/**
 * Each on a host of this suite, with a client waiting: two tries in 10 s at the most,
 * the socket stays, the fix is told, and it heals by itself.
 */
export async function testStarts(suite: Suite, faults: readonly Fault[]): Promise<void> {
  const host = await installedHost({ suite });
  const endClient = keepWaiting(host);
  for (const fault of faults) {
    test(`${suite}: ${fault.name}`, (t) => sufferAndMend(host, fault, t));
  }
  test(`${suite}: the client that waited was never refused`, () => {
    endClient();
    assert.doesNotMatch(host.journal('kleidi.socket'), /limit|failed/i);
  });
}
