// A missing tool skips a test with a reason; under KLEIDI_TEST_STRICT=1, as in
// CI, it fails it.
import { spawnSync } from 'node:child_process';

export function missingTool(...commands: string[]): string | false {
  const missing = commands.filter(
    (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0,
  );
  if (missing.length === 0) return false;
  return skipReason(`needs ${missing.join(', ')}`);
}

/** For what is not a command: the reason, which fails the test where skips do. */
export function skipReason(reason: string): string {
  if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${reason}`);
  return reason;
}
