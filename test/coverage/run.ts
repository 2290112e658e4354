// npm run coverage: which lines of src the tests of stages unit, core and keys reach,
// with kleidi run from its source, so also what daemons, commands and their children do.
// Not part of the suite: from its source each command takes a second longer to start.
import { globSync } from 'node:fs';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';

const shownFiles = 15;
const named = process.argv.slice(2);
// Left out: those that take the same steps again for each place of a kill, and the one that
// is about the built program.
const leftOut = /(?:killed|faults|durable|load)\.test\.ts$/;
const all = globSync('test/{unit,integration,keys}/*.test.ts');
const files = named.length > 0 ? named : all.filter((file) => !leftOut.test(file));
process.env['KLEIDI_TEST_PROGRAM'] = fileURLToPath(new URL('program.ts', import.meta.url));

let failed = 0;
const stream = run({
  files: [...files].sort(),
  concurrency: 2,
  timeout: 30 * 60_000,
  coverage: true,
  coverageIncludeGlobs: 'src/**/*.ts',
});
stream.on('test:fail', ({ name, details }) => {
  failed += 1;
  process.stdout.write(`failed: ${name}: ${details.error.message}\n`);
});
stream.on('test:coverage', ({ summary }) => {
  const { totals } = summary;
  const least = [...summary.files].sort((a, b) => a.coveredLinePercent - b.coveredLinePercent);
  for (const { path, coveredLinePercent } of least.slice(0, shownFiles)) {
    process.stdout.write(`${coveredLinePercent.toFixed(1).padStart(6)} %  ${path}\n`);
  }
  const percent = (value: number): string => `${value.toFixed(1)} %`;
  process.stdout.write(
    `lines ${percent(totals.coveredLinePercent)}, branches ${percent(totals.coveredBranchPercent)}, functions ${percent(totals.coveredFunctionPercent)} of ${summary.files.length} files\n`,
  );
});
stream.on('close', () => {
  process.stdout.write(`failed: ${failed}\n`);
  process.exitCode = failed === 0 ? 0 : 1;
});
stream.resume();
