// One "host": a folder with its own configuration, token and ring, made by
// `kleidi provision` on a real SoftHSM.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { stringify } from 'yaml';
import { parseRing, type Ring } from '../../src/keyring/ring.ts';
import { Daemon, type SuperviseOptions } from './daemon.ts';
import { temporaryFolder } from './folder.ts';
import { kleidi, type Result, type RunOptions } from './kleidi.ts';

/** Of the fault module and of killatstep.c, which go where the token is worked on. */
const testVariables = [
  'LD_PRELOAD',
  'KLEIDI_KILL_STEP',
  'KLEIDI_KILL_WORD',
  'KLEIDI_KILL_CHILD',
  'KLEIDI_KILL_COUNT',
  'KLEIDI_FAULT_REAL',
  'KLEIDI_FAULT_PLAN',
  'KLEIDI_FAULT_TRACE',
];

export type Settings = Readonly<Record<string, unknown>>;

export class TestHost {
  readonly folder: string;
  readonly configPath: string;
  readonly socket: string;
  readonly ringPath: string;
  readonly tokens: string;
  readonly pinPath: string;
  readonly softhsmConf: string;

  constructor(settings: Settings = {}) {
    this.folder = temporaryFolder();
    const at = (name: string): string => join(this.folder, name);
    mkdirSync(at('run'));
    this.configPath = at('kleidi.yaml');
    this.socket = at('kms.sock');
    this.ringPath = at('state/ring.json');
    this.tokens = at('state/tokens');
    this.pinPath = at('pin');
    this.softhsmConf = at('softhsm2.conf');
    this.configure(settings);
  }

  /** Writes the configuration; `settings` replace top-level fields, but extend pkcs11. */
  configure(settings: Settings): void {
    const carrier = process.env['KLEIDI_TEST_GRPC'];
    const base = {
      ring: this.ringPath,
      socket: this.socket,
      // The library has its turn in integration/library.
      ...(carrier === undefined ? {} : { grpc: carrier }),
      runtimeDir: join(this.folder, 'run'),
      encryptionConfig: join(this.folder, 'encryption-config.yaml'),
      log: { level: 'info', format: 'json' },
      ...settings,
      pkcs11: {
        pin: `file:${this.pinPath}`,
        soPin: `file:${join(this.folder, 'so-pin')}`,
        softhsmConf: this.softhsmConf,
        environment: testVariables,
        ...(settings['pkcs11'] as object | undefined),
      },
    };
    writeFileSync(this.configPath, stringify(base));
  }

  /** A provisioned host, with a ring of this name. */
  static async provisioned(settings: Settings = {}, ring = 'test'): Promise<TestHost> {
    const host = new TestHost(settings);
    const { exitCode, stderr } = await host.run('provision', '--ring', ring);
    if (exitCode !== 0) throw new Error(`provision failed: ${stderr}`);
    return host;
  }

  /** A verb with this host's configuration. */
  run(...args: string[]): Promise<Result> {
    return this.runWith({}, ...args);
  }

  runWith(options: RunOptions, ...args: string[]): Promise<Result> {
    return kleidi([...args, '--config', this.configPath], options);
  }

  get pin(): string {
    return readFileSync(this.pinPath, 'utf8');
  }

  get ring(): Ring {
    return parseRing(readFileSync(this.ringPath, 'utf8'), this.ringPath);
  }

  /** Started now, stopped at the end of the test file at the latest. */
  async serve(env: NodeJS.ProcessEnv = {}): Promise<Daemon> {
    return this.#untilEnd(await Daemon.start(this.configPath, this.socket, env));
  }

  async superviseServe(options: SuperviseOptions = {}): Promise<Daemon> {
    return this.#untilEnd(await Daemon.supervise(this.configPath, this.socket, options));
  }

  #untilEnd(daemon: Daemon): Daemon {
    after(() => daemon.stop());
    return daemon;
  }
}
