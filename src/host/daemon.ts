// `kleidi serve`: puts the parts together in the order of the start (keys
// first, then connections, then READY) and takes them apart on SIGTERM.

import { statSync } from 'node:fs';
import type { Config } from '../config.ts';
import { boundsOf } from '../kms/bounds.ts';
import type { KmsServer } from '../kms/server.ts';
import { KmsService } from '../kms/service.ts';
import { Serving } from '../kms/serving.ts';
import { stateOf } from '../kms/state.ts';
import type { Log } from '../log.ts';
import { ProviderCounts } from '../providers/counts.ts';
import type { ModuleThreads } from '../providers/pkcs11/thread.ts';
import { version } from '../version.ts';
import { CrashLoop, type PreviousEnd } from './crashloop.ts';
import { requireCredential } from './credentials.ts';
import { Listener, type ListenOn } from './listener.ts';
import { otherMachine, provisionRecordPath } from './machine.ts';
import { makeMetricsFolder, openMetrics } from './metricssocket.ts';
import { Reconciler } from './reconciler.ts';
import { Report } from './report.ts';
import { inheritedFd, Notify } from './systemd.ts';

const graceMs = 5_000;

export interface DaemonParts {
  readonly config: Config;
  readonly log: Log;
  readonly env: NodeJS.ProcessEnv;
  /** Where a PKCS#11 module is called. */
  readonly threads: ModuleThreads;
}

/** Resolves with what ended the daemon, once all is drained. */
export async function runDaemon(
  { config, log, env, threads }: DaemonParts,
  socketPath: string | undefined,
): Promise<string> {
  // With Vault, a host may have no token at all.
  if (config.vault.address.length === 0) await requireCredential(config.pkcs11.pin, env);
  const where = listenOn(config, env, socketPath);
  const notify = new Notify(env);
  const serving = new Serving();
  const counts = new ProviderCounts();
  serving.notice('machine', otherMachine(config.ring));
  const marks = new CrashLoop(config.runtimeDir);
  const stop = Promise.withResolvers<string>();
  const reconciler = new Reconciler({
    config,
    env,
    threads,
    serving,
    counts,
    marks,
    report: new Report(serving, log),
    supervised: where.kind === 'fd' || env['NOTIFY_SOCKET'] !== undefined,
    restart: (reason) => {
      marks.end('restart');
      stop.resolve(`restart: ${reason}`);
    },
    changed: () => notify.status(statusLine(serving)),
  });
  const stopped = (signal: string): void => {
    marks.end('stopped');
    stop.resolve(signal);
  };
  onSignals(stopped, () => reconciler.ringChanged());
  const watch = watchFiles([config.ring, provisionRecordPath(config.ring)], () =>
    reconciler.ringChanged(),
  );
  try {
    const started = reconciler.start();
    // Loading gRPC holds up all else here, but not a thread that opens the token.
    if (config.vault.address.length === 0) await Promise.race([threads.called, started]);
    const server = await serverOf(serving, config, log);
    await started;
    const reason = await serveUntil(stop.promise, {
      log,
      notify,
      where,
      config,
      serving,
      counts,
      server,
      previousEnd: marks.previousEnd,
    });
    await reconciler.endIfStuck();
    return reason;
  } finally {
    watch.close();
    reconciler.stop();
  }
}

async function serverOf(serving: Serving, config: Config, log: Log): Promise<KmsServer> {
  const { KmsServer } = await import('../kms/server.ts');
  const service = new KmsService(serving, config.limits.queue);
  return KmsServer.open({
    service,
    log,
    state: () => stateOf(serving),
    bounds: boundsOf(config.limits),
    grpc: config.grpc,
  });
}

interface Running {
  readonly log: Log;
  readonly notify: Notify;
  readonly where: ListenOn;
  readonly config: Config;
  readonly serving: Serving;
  readonly counts: ProviderCounts;
  readonly server: KmsServer;
  readonly previousEnd: PreviousEnd;
}

async function serveUntil(stopped: Promise<string>, parts: Running): Promise<string> {
  const { log, notify, where, config, serving, counts, server, previousEnd } = parts;
  const listener = await Listener.open(where, (connection) => server.serve(connection));
  makeMetricsFolder(config.runtimeDir);
  notify.ready();
  // What systemd has handed over should be the socket of the configuration.
  const socket = where.kind === 'fd' ? config.socket : where.path;
  log.event('listening', { version, socket });
  const sources = { serving, counts, previousEnd, traffic: () => server.traffic() };
  const metrics = openMetrics(config.runtimeDir, sources, log);

  const reason = await stopped;
  log.event('stopping', { reason });
  notify.stopping();
  await listener.close();
  await server.stop(graceMs);
  await (await metrics).close();
  return reason;
}

function listenOn(
  config: Config,
  env: NodeJS.ProcessEnv,
  socketPath: string | undefined,
): ListenOn {
  const fd = inheritedFd(env, process.pid);
  if (fd !== undefined) return { kind: 'fd', fd };
  return { kind: 'path', path: socketPath ?? config.socket };
}

function onSignals(stop: (reason: string) => void, reload: () => void): void {
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
  process.on('SIGHUP', reload);
}

/** What `systemctl status` shows: the state, or what is wrong and what to do. */
function statusLine(serving: Serving): string {
  const health = serving.health();
  if (health.kind === 'failed') {
    const { message, hint } = health.error;
    return `Not serving: ${message}${hint === undefined ? '' : `. ${hint}`}`;
  }
  const healthz = health.healthz === 'ok' ? [] : [health.healthz];
  return [`Serving ${health.keyId}`, ...healthz, ...serving.notices()].join('; ');
}

const everyMs = 500;

/**
 * Notices a change of these files within a second, also where a file or its folder comes
 * and goes: two stat calls a second for each instead of inotify, which loses a folder that
 * is replaced.
 */
function watchFiles(paths: readonly string[], changed: () => void): { close(): void } {
  const signatures = (): string => paths.map(signature).join();
  let last = signatures();
  const timer = setInterval(() => {
    const now = signatures();
    if (now === last) return;
    last = now;
    changed();
  }, everyMs);
  return { close: () => clearInterval(timer) };
}

/** Never throws: a folder that is closed to the daemon must not end it while it serves. */
function signature(path: string): string {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    return found === undefined ? 'none' : `${found.ino} ${found.mtimeMs} ${found.size}`;
  } catch {
    return 'unreadable';
  }
}
