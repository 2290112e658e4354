// Doctor's group socket: who may connect, and what the daemon behind it says.
import { dirname } from 'node:path';
import type { StateResponse } from '../kms/contract.ts';
import { version } from '../version.ts';
import { type Check, type Findings, fail, failure, ok, warn } from './check.ts';
import { modeFinding, statOf } from './filemode.ts';

export const socket: Check = {
  group: 'socket',
  needs: 'config',

  async run(subject) {
    const path = subject.config().socket;
    const found = statOf(path);
    if (found === undefined) {
      return fail(`there is no socket at ${path}`, 'systemctl enable --now kleidi.socket');
    }
    if (!found.isSocket()) {
      return fail(`${path} is not a socket`, `move it away, then: systemctl restart kleidi.socket`);
    }
    const folder = statOf(dirname(path));
    const findings = [
      modeFinding(path, found, 0o660),
      folder && folderFinding(dirname(path), folder.mode),
    ];
    try {
      return [findings, daemonFindings(await subject.state())];
    } catch (error) {
      return [findings, failure(error)];
    }
  },
};

/** Whoever can write the folder can put a socket of his own there. */
function folderFinding(path: string, mode: number): Findings {
  const writable = (mode & 0o002) !== 0 && (mode & 0o1000) === 0;
  if (!writable) return undefined;
  return fail(`anybody can replace the socket in ${path}`, `chmod o-w ${path}`);
}

function daemonFindings(state: StateResponse): Findings {
  const what = `the daemon is kleidi ${state.version}, installed is ${version}`;
  return [
    health(state),
    state.notices.map((notice) => warn(notice, 'journalctl -u kleidi -x')),
    state.version === version ? undefined : warn(what, 'systemctl restart kleidi'),
  ];
}

function health({ failure: why, healthz, keyId }: StateResponse): Findings {
  if (why !== '') return fail(`the daemon does not serve: ${why}`, 'systemctl status kleidi');
  if (healthz !== 'ok') return fail(healthz, 'kleidi key list; kleidi join brings a KEK here');
  return ok(`the daemon serves ${keyId}`);
}
