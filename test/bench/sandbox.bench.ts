// What systemd takes to set up the sandbox of kleidi.service, on a booted host: a program that
// does nothing, started under the unit's settings and under fewer of them, in turn.
//
//   node test/bench/sandbox.bench.ts [ROUNDS]
import { installedHost } from '../support/installed.ts';
import { median } from './table.ts';

/** Settings that are left out. */
const without: Readonly<Record<string, RegExp>> = {
  'as installed': /^$/,
  'without ProtectKernelTunables=': /^ProtectKernelTunables=/,
  'without InaccessiblePaths=': /^InaccessiblePaths=/,
  'without both': /^(?:ProtectKernelTunables|InaccessiblePaths)=/,
  'without any':
    /^(?:Private|Protect|Temporary|Bind|Inaccessible|NoExec|ExecPaths|Load|SetC|Restrict|IPA|SystemCall|Device|ProcS|Lock|RemoveIPC|Keyring|NoNew|Capab|Ambient)/,
};
/** What makes it a service that stays, and is waited for. */
const ofService =
  /^(?:Requires|After|Wants|Restart|RestartSec|WatchdogSec|NotifyAccess|WantedBy|\[Install)/;

function variant(unit: string, left: RegExp): string {
  return unit
    .split('\n')
    .filter((line) => !ofService.test(line) && !left.test(line))
    .map((line) => line.replace(/^Type=.*/, 'Type=oneshot'))
    .map((line) => line.replace(/^ExecStart=.*/, 'ExecStart=/usr/lib/kleidi/bin/node --version'))
    .join('\n');
}

const [, , given = '15'] = process.argv;
const host = await installedHost();
await host.until('kleidi status');
const unit = host.read('/usr/lib/systemd/system/kleidi.service');
const names = Object.keys(without);
Object.values(without).forEach((left, i) => {
  host.write(`/run/systemd/system/sandbox-${i}.service`, variant(unit, left));
});
host.sh('systemctl daemon-reload');
const timesMs = names.map((): number[] => []);
for (let round = 0; round < Number(given); round += 1) {
  timesMs.forEach((times, i) => {
    const took = `a=$(date +%s%N); systemctl start sandbox-${i}; b=$(date +%s%N); echo $((b - a))`;
    times.push(Number(host.sh(took)) / 1e6);
  });
}
timesMs.forEach((times, i) => {
  process.stdout.write(`${names[i]}: median ${median(times).toFixed(0)} ms\n`);
});
