// What systemd takes to set up the sandbox of kleidi.service, on a booted host: a program that
// does nothing, started under the unit's settings and under fewer of them, in turn.
//
//   node test/bench/sandbox.bench.ts [ROUNDS]
import { installedHost } from '../support/installed.ts';
import { writeUnit } from '../support/sandboxunit.ts';
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
const [, , given = '15'] = process.argv;
const host = await installedHost();
await host.until('kleidi status');
const names = Object.keys(without);
Object.values(without).forEach((left, i) => {
  writeUnit(host, `sandbox-${i}`, 'oneshot', '--version', left);
});
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
