// A missing tool skips a test with a reason; under KLEIDI_TEST_STRICT=1, as in
// CI, it fails it.
import { spawnSync } from 'node:child_process';

export function missingTool(...commands: string[]): string | false {
  const missing = commands.filter(
    (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0,
  );
  if (missing.length === 0) return false;
  const reason = `needs ${missing.join(', ')}`;
  if (process.env['KLEIDI_TEST_STRICT'] === '1') throw new Error(`strict: ${reason}`);
  return reason;
}
