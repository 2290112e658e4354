// Three booted hosts with one ring, whose metrics a real Prometheus scrapes over the network,
// with the alerts that are shipped. Only the time that an alert waits is cut: nothing here
// lasts an hour.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { rulesPath } from './alertfleet.ts';
import { beginCeremony, type Ceremony, makeFirstKek } from './clusterceremony.ts';
import { ClusterNetwork, hostAddresses } from './clusternetwork.ts';
import { temporaryFolder } from './folder.ts';
import { bareHost, packageFile } from './installed.ts';
import type { SystemHost } from './systemhost.ts';

const listen = '127.0.0.1:9090';
const metricsPort = 9464;
const patienceMs = 120_000;

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** A series over time: seconds since 1970, and the value as Prometheus writes it. */
export interface Curve {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

export class MonitoredFleet {
  readonly hosts: readonly SystemHost[];
  readonly ceremony: Ceremony;
  readonly #network: ClusterNetwork;

  private constructor(network: ClusterNetwork, hosts: readonly SystemHost[]) {
    const [first, ...others] = hosts;
    if (first === undefined) throw new Error('no hosts');
    this.hosts = hosts;
    this.ceremony = beginCeremony(first, others);
    this.#network = network;
  }

  /** All serve the first KEK; Prometheus has scraped each. */
  static async boot(settings: string): Promise<MonitoredFleet> {
    const network = ClusterNetwork.create();
    const hosts: SystemHost[] = [];
    for (const [index, address] of hostAddresses.entries()) {
      const host = await bareHost({ networkNamespace: network.namespaceOf(index) });
      host.write('/etc/kleidi/install.conf', 'FIRST_KEK=no\n');
      host.sh(`dpkg -i ${packageFile('deb')}`);
      host.write('/etc/kleidi/kleidi.yaml', settings);
      host.write(
        '/etc/systemd/system/kleidi-metrics.socket.d/address.conf',
        `[Socket]\nListenStream=\nListenStream=${address}:${metricsPort}\nFreeBind=yes\n`,
      );
      hosts.push(host);
    }
    const fleet = new MonitoredFleet(network, hosts);
    await fleet.#firstKek();
    fleet.#startPrometheus();
    await fleet.until('min_over_time(up{job="kleidi"}[2s])', (found) => found.length === 3);
    return fleet;
  }

  async #firstKek(): Promise<void> {
    makeFirstKek(this.ceremony);
    for (const host of this.hosts) {
      host.sh('systemctl daemon-reload; systemctl enable --now kleidi-metrics.socket');
      host.sh('systemctl restart kleidi');
      await host.until('kleidi status');
    }
  }

  #startPrometheus(): void {
    const folder = temporaryFolder();
    const at = (name: string): string => join(folder, name);
    const rules = readFileSync(rulesPath, 'utf8').replaceAll(/^ +for: .*\n/gm, '');
    writeFileSync(at('rules.yaml'), rules);
    const targets = hostAddresses.map((address) => `${address}:${metricsPort}`);
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: [at('rules.yaml')],
      scrape_configs: [{ job_name: 'kleidi', static_configs: [{ targets }] }],
    };
    writeFileSync(at('prometheus.yml'), JSON.stringify(config));
    const args = [
      `--config.file=${at('prometheus.yml')}`,
      `--storage.tsdb.path=${at('data')}`,
      `--web.listen-address=${listen}`,
    ];
    const prometheus = this.#network.spawn('prometheus', args, { stdio: 'ignore' });
    after(() => prometheus.kill('SIGKILL'));
  }

  /** By Prometheus' own client. @throws Error what Prometheus has against the query */
  query(expression: string): readonly Sample[] {
    const args = ['query', 'instant', '-o', 'json', `http://${listen}`, expression];
    return JSON.parse(this.#network.run('promtool', args).toString()) as readonly Sample[];
  }

  /** In steps of a second. */
  range(expression: string, startS: number, endS: number): readonly Curve[] {
    const span = [`--start=${startS}`, `--end=${endS}`, '--step=1s'];
    const args = ['query', 'range', '-o', 'json', ...span, `http://${listen}`, expression];
    return JSON.parse(this.#network.run('promtool', args).toString()) as readonly Curve[];
  }

  async until(
    expression: string,
    holds: (found: readonly Sample[]) => boolean,
  ): Promise<readonly Sample[]> {
    const endMs = performance.now() + patienceMs;
    for (;;) {
      const found = this.#tried(expression);
      if (found !== undefined && holds(found)) return found;
      if (performance.now() > endMs)
        throw new Error(`${expression} is ${JSON.stringify(found)} to the end`);
      await sleep(500);
    }
  }

  /** Before Prometheus listens there is no answer. */
  #tried(expression: string): readonly Sample[] | undefined {
    try {
      return this.query(expression);
    } catch {
      return undefined;
    }
  }

  /** `ALERT of hosts`, by host where the alert has one. */
  firing(): string[] {
    const alerts = this.query('ALERTS{alertstate="firing"}').map(({ metric }) => {
      const index = hostAddresses.findIndex((each) => metric['instance']?.startsWith(`${each}:`));
      return `${metric['alertname']}${index === -1 ? '' : ` of host ${index}`}`;
    });
    return [...new Set(alerts)].sort();
  }

  async untilFiring(expected: readonly string[]): Promise<void> {
    const endMs = performance.now() + patienceMs;
    const wanted = [...expected].sort().join(', ');
    while (this.firing().join(', ') !== wanted) {
      if (performance.now() > endMs)
        throw new Error(`firing: ${this.firing().join(', ')}; expected: ${wanted}`);
      await sleep(500);
    }
  }
}

/** The KEKs of its token are empty files; the daemon has them in memory. @returns what undoes it */
export function damageToken(host: SystemHost): () => void {
  const found = host.sh('find /var/lib/kleidi/tokens -name "*.object" ! -name token.object');
  const kept = found.split('\n').map((path) => [path, readFileSync(host.outside(path))] as const);
  for (const [path] of kept) truncateSync(host.outside(path), 0);
  return () => {
    for (const [path, contents] of kept) host.write(path, contents);
  };
}
