// kleidi serve: the daemon.
import { writeFileSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { loadConfig } from '../config.ts';
import { ModuleThreads } from '../providers/pkcs11/thread.ts';
import { configOption, text } from './option.ts';
import { type Command, command } from './verb.ts';

/** @param worker a token thread that was begun before the program was loaded */
export const serveWith = (worker?: Worker): Command =>
  command({
    summary: 'the daemon',
    notes: [
      `Serves KMS v2 to kube-apiserver. Under systemd it takes the socket that kleidi.socket holds;
    elsewhere it makes one at PATH (default: socket in the configuration), mode 0660. Reads the
    ring again when its file changes and on SIGHUP; drains and ends on SIGTERM.`,
    ],
    options: {
      socket: text('PATH', 'where to listen when no socket is handed over'),
      config: configOption,
    },
    example: 'kleidi serve --socket /tmp/kms.sock --config ./kleidi.yaml',
    async run({ text, configPath }) {
      nameProcess();
      // Begins while the rest is loaded: both take about as long.
      const threads = new ModuleThreads();
      threads.prepare(worker);
      const config = loadConfig(configPath);
      if (config.vault.address.length > 0) threads.dismiss();
      const [{ openLog }, { runDaemon }] = [
        await import('../log.ts'),
        await import('../host/daemon.ts'),
      ];
      const log = openLog(config.log);
      await runDaemon({ config, log, env: process.env, threads }, text('socket'));
      // All is drained; a verifier child or a timer must not keep us.
      process.exit(0);
    },
  });

/**
 * Else systemctl names a thread of Node's. Not process.title, which takes the arguments away
 * from who looks at them.
 */
function nameProcess(): void {
  try {
    writeFileSync('/proc/self/comm', 'kleidi');
  } catch {
    // A /proc that is read-only: nothing but a name is lost.
  }
}
