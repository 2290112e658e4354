// Other programs in the sandbox of kleidi.service, on a booted host.
import type { SystemHost } from './systemhost.ts';

/**
 * A unit that runs as the service does, with every directive of its unit.
 * @param left those that are left out, as lines
 */
export function writeUnit(
  host: SystemHost,
  name: string,
  type: string,
  args: string,
  left?: RegExp,
): void {
  const unit = host
    .read('/usr/lib/systemd/system/kleidi.service')
    .replace('Type=notify', `Type=${type}`)
    .replace(/^(?:Requires|Wants|After|Restart.*|WatchdogS.*)=.*|^\[Install\][\s\S]*/gm, '')
    .replace(
      /^ExecStart=.*/m,
      `ExecStart=/usr/lib/kleidi/bin/node --disable-warning=ExperimentalWarning ${args}`,
    );
  const kept = unit.split('\n').filter((line) => left?.test(line) !== true);
  host.write(`/run/systemd/system/${name}.service`, kept.join('\n'));
  host.sh('systemctl daemon-reload');
}
