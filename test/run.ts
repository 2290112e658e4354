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
const shownFiles = 5;
/**
 * A file that is run alone may first have to make a base tree, a client or Vault; and
 * before Kubernetes 1.34 a playbook waits for two polls of each API server.
 */
const aloneTimeoutMs = 25 * 60_000;
/** In a whole run all that is there: a file that takes longer hangs. */
const fileTimeoutMs = 10 * 60_000;
const buildBudgetMinutes = 25;

/** The API servers that kleidi has to work with the longest. */
const oldestLine: readonly Stage[] = [
  {
    name: 'cluster of Kubernetes 1.29',
    budgetMinutes: 20,
    files: [...globSync('test/cluster/*.test.ts'), 'test/ansible/masters.test.ts'],
    line: '1.29',
  },
];
const givenLine = process.env['KLEIDI_CLUSTER_LINE'] ?? '';
const strict = process.env['KLEIDI_TEST_STRICT'] === '1';
const named = process.argv.slice(2);
const stages: readonly Stage[] =
  named.length > 0
    ? [{ name: 'named', budgetMinutes: 90, files: named }]
    : [
        { name: 'unit', budgetMinutes: 1, files: globSync('test/unit/*.test.ts') },
        { name: 'formats', budgetMinutes: 1, files: globSync('test/formats/*.test.ts') },
        { name: 'core', budgetMinutes: 4, files: globSync('test/integration/*.test.ts') },
        { name: 'keys', budgetMinutes: 5, files: globSync('test/keys/*.test.ts') },
        { name: 'packages', budgetMinutes: 4, files: globSync('test/packages/*.test.ts') },
        { name: 'host', budgetMinutes: 8, files: globSync('test/system/*.test.ts') },
        { name: 'cluster', budgetMinutes: 10, files: globSync('test/cluster/*.test.ts') },
        { name: 'ansible', budgetMinutes: 15, files: globSync('test/ansible/*.test.ts') },
        ...(process.env['KLEIDI_TEST_LONG'] === '1' ? oldestLine : []),
        { name: 'kube', budgetMinutes: 12, files: globSync('test/kube/*.test.ts') },
        { name: 'vault', budgetMinutes: 5, files: globSync('test/vault/*.test.ts') },
        { name: 'after', budgetMinutes: 1, files: globSync('test/after/*.test.ts') },
      ];

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function check(): boolean {
  say('== check: types, lint, format');
  return spawnSync('npm', ['run', '--silent', 'check'], { stdio: 'inherit' }).status === 0;
}

async function runStage(stage: Stage, total: Counts): Promise<void> {
  const { name, budgetMinutes, files } = stage;
  // Tests inherit it. Empty is the newest.
  process.env['KLEIDI_CLUSTER_LINE'] = stage.line ?? givenLine;
  const startMs = performance.now();
  say(`== ${name}: ${files.length} files`);
  const stream = run({
    files: longestFirstOf(files),
    concurrency: 2,
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
