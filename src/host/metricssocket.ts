// The socket of the metrics, in a folder of its own inside the daemon's: no socket of
// systemd, as one more could not be added while the service runs, and never TCP (an
// inherited TCP listener leads out of the sandbox). Whoever may enter the daemon's folder
// can connect; kleidi-metrics.service has this folder alone mounted. Without it the daemon
// serves all the same.
import { chmodSync, lstatSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { KleidiError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { MetricSources } from '../metrics/families.ts';
import { inodeOf, listenOnPath, releasePath } from './listener.ts';

/** To connect takes the right to write to the socket and to enter its folders. */
const [folderMode, socketMode] = [0o711, 0o666];

interface MetricsSocket {
  close(): Promise<void>;
}

export function metricsPath(runtimeDir: string): string {
  return join(runtimeDir, 'metrics', 'metrics.sock');
}

/** Never throws. Called before READY: who is started after that may mount the folder. */
export function makeMetricsFolder(runtimeDir: string): void {
  const folder = dirname(metricsPath(runtimeDir));
  try {
    const found = lstatSync(folder, { throwIfNoEntry: false });
    // Left by somebody else's `kleidi serve`: our folder is above it.
    if (found !== undefined && found.uid !== process.geteuid?.()) rmdirSync(folder);
    mkdirSync(folder, { recursive: found !== undefined });
    chmodSync(folder, folderMode);
  } catch {
    // Listening fails then, and says so.
  }
}

/** Never rejects: what fails is logged. */
export async function openMetrics(
  runtimeDir: string,
  sources: MetricSources,
  log: Log,
): Promise<MetricsSocket> {
  const path = metricsPath(runtimeDir);
  // Not before it is needed: loading HTTP would hold up the start.
  const { MetricsEndpoint } = await import('../metrics/endpoint.ts');
  const endpoint = new MetricsEndpoint(sources);
  try {
    await listenOnPath(endpoint.server, path, socketMode);
  } catch (thrown) {
    const { code, message, hint } = KleidiError.from(thrown);
    log.event('metrics-unavailable', { code, hint }, `no metrics: ${message}`);
  }
  endpoint.server.on('error', () => undefined);
  const inode = await inodeOf(path);
  return {
    async close() {
      const isOurs = endpoint.server.listening;
      endpoint.close();
      if (isOurs) await releasePath(path, inode);
    },
  };
}
