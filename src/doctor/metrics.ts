// Doctor's group metrics: where kleidi-metrics.socket is enabled, that a scrape is answered.
// Nothing is said where it is not: metrics are off unless somebody wants them.
import { type RequestOptions, request } from 'node:http';
import { metricsPath } from '../host/metricssocket.ts';
import { showUnit, type UnitProperties } from '../host/systemctl.ts';
import { type Check, type Finding, type Findings, ok, type Subject, warn } from './check.ts';
import { statOf } from './filemode.ts';

const unit = 'kleidi-metrics.socket';
const properties = ['ActiveState', 'UnitFileState', 'Listen'];
/** As long as the daemon has patience with a client. */
const timeoutMs = 5_000;

export const metrics: Check = {
  group: 'metrics',
  needs: 'config',

  async run(subject) {
    const found = await showUnit(unit, properties);
    if (found === undefined || !found['UnitFileState']?.startsWith('enabled')) return undefined;
    if (found['ActiveState'] !== 'active') {
      return warn(
        `${unit} is enabled and ${found['ActiveState']}: no scrape is answered`,
        `systemctl start ${unit}; systemctl status ${unit} says why it is not`,
      );
    }
    return (await daemonFinding(subject)) ?? (await networkFinding(found));
  },
};

/** Undefined where the daemon answers, or where it may not be asked. */
async function daemonFinding(subject: Subject): Promise<Finding | undefined> {
  if (!subject.isRoot) return undefined;
  const path = metricsPath(subject.config().runtimeDir);
  const why =
    'journalctl -u kleidi -x says why (metrics-unavailable); then: systemctl restart kleidi';
  if (statOf(path)?.isSocket() !== true) {
    return warn(`${unit} is enabled, and the daemon has no socket at ${path}`, why);
  }
  if (await answers({ socketPath: path })) return undefined;
  return warn(`nobody answers at ${path}`, 'systemctl status kleidi; journalctl -u kleidi -x');
}

/** As a scraper asks: of several listeners the first. */
async function networkFinding({ Listen = '' }: UnitProperties): Promise<Findings> {
  const [, host = '', port = ''] = /^\[?([0-9a-fA-F.:]+?)\]?:(\d+) \(Stream\)/.exec(Listen) ?? [];
  if (port === '') return ok(`${unit} is enabled, and the daemon answers`);
  if (await answers({ host: reachable(host), port })) {
    return ok(`metrics are answered at ${host}:${port}`);
  }
  return warn(
    `the daemon has metrics, and nobody answers at ${host}:${port}`,
    'systemctl status kleidi-metrics.service; journalctl -u kleidi-metrics; see docs/metrics.md',
  );
}

function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

/** Whatever the health is: that it is told. */
function answers(where: Pick<RequestOptions, 'socketPath' | 'host' | 'port'>): Promise<boolean> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const sent = request({ ...where, path: '/readyz', agent: false, signal }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 || response.statusCode === 503);
    });
    sent.on('error', () => resolve(false));
    sent.end();
  });
}
