// Doctor's group unit: kleidi.socket and kleidi.service are installed, enabled
// and active, and what runs is what is on disk.

import { showUnit, type UnitProperties } from '../host/systemctl.ts';
import { type Check, type Findings, fail, ok, type Subject, warn } from './check.ts';
import { statOf } from './filemode.ts';

const properties = [
  'LoadState',
  'ActiveState',
  'UnitFileState',
  'NeedDaemonReload',
  'DropInPaths',
  'NRestarts',
];

export const unit: Check = {
  group: 'unit',
  needs: 'nothing',

  async run(subject) {
    const socket = await showUnit('kleidi.socket', properties);
    const service = await showUnit('kleidi.service', properties);
    if (socket === undefined || service === undefined) {
      return warn(
        'systemd does not run here: not checked',
        'on a host: run it there; see kleidi serve --socket',
      );
    }
    return [
      unitFindings('kleidi.socket', socket),
      unitFindings('kleidi.service', service),
      await runningProgram(subject),
    ];
  },
};

export function unitFindings(name: string, found: UnitProperties): Findings {
  if (found['LoadState'] === 'masked') {
    return fail(`${name} is masked`, `systemctl unmask ${name}; systemctl enable --now ${name}`);
  }
  if (found['LoadState'] !== 'loaded') {
    return fail(`${name} is not installed`, 'install the kleidi package');
  }
  return [
    activity(name, found['ActiveState'] ?? ''),
    enablement(name, found['UnitFileState'] ?? ''),
    reload(name, found['NeedDaemonReload'] === 'yes'),
    restarts(name, Number(found['NRestarts'] ?? 0)),
    dropIns(name, found['DropInPaths'] ?? ''),
  ];
}

function activity(name: string, state: string): Findings {
  if (state === 'active') return ok(`${name} is active`);
  return fail(
    `${name} is ${state}`,
    `systemctl start ${name}; systemctl status ${name} says why it is not`,
  );
}

/** Without it the host comes back from a reboot without its keys. */
function enablement(name: string, state: string): Findings {
  if (state.startsWith('enabled')) return ok(`${name} is enabled`);
  return fail(`${name} is ${state}: it does not start at boot`, `systemctl enable ${name}`);
}

function reload(name: string, needed: boolean): Findings {
  const todo = `systemctl daemon-reload; systemctl restart ${name}`;
  return needed ? warn(`systemd has loaded an older file of ${name}`, todo) : undefined;
}

function restarts(name: string, count: number): Findings {
  if (count < 10) return undefined;
  return warn(
    `${name} was restarted ${count} times since it was started`,
    'journalctl -u kleidi -x',
  );
}

/** Those of the package are as it wants them. */
function dropIns(name: string, paths: string): Findings {
  const others = paths.split(' ').filter((path) => path !== '' && !path.startsWith('/usr/lib/'));
  return others.length === 0 ? undefined : ok(`${name} is changed by ${others.join(', ')}`);
}

/** An update of the package leaves the old program running where it could not restart it. */
async function runningProgram({ state }: Subject): Promise<Findings> {
  const running = await state().catch(() => undefined);
  const program = process.argv[1] === undefined ? undefined : statOf(process.argv[1]);
  if (running === undefined || program === undefined) return undefined;
  if (program.ctimeMs <= running.startedUnixMs) return undefined;
  return warn(`${process.argv[1]} is newer than the running daemon`, 'systemctl restart kleidi');
}
