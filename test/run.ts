// The test command: makes what tests need, runs the stages of the suite, prints the
// time of each, and ends with one verdict. Under KLEIDI_TEST_STRICT=1 a skipped test
// is a failure. KLEIDI_TEST_BUSY=N keeps N processors busy meanwhile.
//
//   node test/run.ts [FILE...]

import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { buildAll } from './builds.ts';
import { longestFirstOf } from './longest.ts';
import { keepBusy } from './support/busy.ts';

interface Stage {
  readonly name: string;
  readonly budgetMinutes: number;
  readonly files: readonly string[];
  /** Files that run at the same time. */
  readonly atOnce: number;
  /** Of Kubernetes, where it is not the newest. */
  readonly line?: string;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface FileEnd {
  readonly file: string;
  readonly seconds: number;
}

/** Of each stage. */
const shownFiles = 8;
/**
 * A file that is run alone may first have to make a base tree, a client or Vault; and
 * before Kubernetes 1.34 a playbook waits for two polls of each API server.
 */
const aloneTimeoutMs = 25 * 60_000;
/** In a whole run all that is there: a file that takes longer hangs. */
const fileTimeoutMs = 25 * 60_000;
const buildBudgetMinutes = 25;
/** Of files that work all the time, by processors of the smallest machine of a CI. */
const working = 2;
/** Of files of which some wait for systemd, a host or a time limit, while others work. */
const mixed = 3;

const long: readonly Stage[] = [
  stageOf('long', 25, working, 'test/long'),
  // The API servers that kleidi has to work with the longest.
  {
    name: 'cluster of Kubernetes 1.29',
    budgetMinutes: 20,
    files: [...globSync('test/cluster/*.test.ts'), 'test/ansible/masters.test.ts'],
    atOnce: working,
    line: '1.29',
  },
];
const givenLine = process.env['KLEIDI_CLUSTER_LINE'] ?? '';
const strict = process.env['KLEIDI_TEST_STRICT'] === '1';
const named = process.argv.slice(2);
const stages: readonly Stage[] =
  named.length > 0
    ? [{ name: 'named', budgetMinutes: 90, files: named, atOnce: working }]
    : [
        stageOf('unit', 1, working, 'test/unit'),
        stageOf('formats', 1, working, 'test/formats'),
        stageOf('core', 4, working, 'test/integration'),
        stageOf('keys', 5, working, 'test/keys'),
        stageOf('packages', 4, working, 'test/packages'),
        stageOf('host', 14, mixed, 'test/system', 'test/cluster', 'test/kube', 'test/vault'),
        stageOf('ansible', 14, mixed, 'test/ansible'),
        ...(process.env['KLEIDI_TEST_LONG'] === '1' ? long : []),
        stageOf('after', 1, working, 'test/after'),
      ];

function stageOf(
  name: string,
  budgetMinutes: number,
  atOnce: number,
  ...folders: readonly string[]
): Stage {
  const files = folders.flatMap((folder) => globSync(`${folder}/*.test.ts`));
  return { name, budgetMinutes, atOnce, files };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function check(): boolean {
  say('== check: types, lint, format');
  return spawnSync('npm', ['run', '--silent', 'check'], { stdio: 'inherit' }).status === 0;
}

async function runStage(stage: Stage, total: Counts): Promise<void> {
  const { name, budgetMinutes, files, atOnce } = stage;
  // Tests inherit it. Empty is the newest.
  process.env['KLEIDI_CLUSTER_LINE'] = stage.line ?? givenLine;
  const startMs = performance.now();
  say(`== ${name}: ${files.length} files`);
  const stream = run({
    files: longestFirstOf(files),
    concurrency: atOnce,
    timeout: named.length > 0 || stage.line !== undefined ? aloneTimeoutMs : fileTimeoutMs,
  });
  stream.on('test:pass', ({ skip, details }) => {
    if (details.type === 'suite') return;
    if (skip === undefined) total.passed += 1;
    else total.skipped += 1;
  });
  stream.on('test:fail', () => {
    total.failed += 1;
  });
  const ends: FileEnd[] = [];
  stream.on('test:complete', ({ name: file, details }) => {
    if (files.includes(file)) ends.push({ file, seconds: details.duration_ms / 1_000 });
  });
  for await (const part of stream.compose(new spec())) process.stdout.write(part);
  const longest = ends.sort((a, b) => b.seconds - a.seconds).slice(0, shownFiles);
  for (const { file, seconds } of longest) say(`${seconds.toFixed(0).padStart(6)} s  ${file}`);
  const minutes = (performance.now() - startMs) / 60_000;
  say(`== ${name}: ${minutes.toFixed(1)} of ${budgetMinutes} minutes`);
}

async function build(): Promise<void> {
  const startMs = performance.now();
  say('== builds');
  await buildAll(say);
  const minutes = (performance.now() - startMs) / 60_000;
  say(`== builds: ${minutes.toFixed(1)} of ${buildBudgetMinutes} minutes`);
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
if (named.length === 0) {
  process.env['KLEIDI_TEST_RAN'] = join(mkdtempSync(join(tmpdir(), 'kleidi-ran-')), 'commands');
  if (!check()) total.failed += 1;
  await build();
}
keepBusy(Number(process.env['KLEIDI_TEST_BUSY'] ?? 0));
for (const stage of stages.filter(({ files }) => files.length > 0)) await runStage(stage, total);
say(`tests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
const good = total.failed === 0 && total.passed > 0 && !(strict && total.skipped > 0);
say(good ? 'verdict: good' : 'verdict: NOT good');
process.exitCode = good ? 0 : 1;
