// A folder for one test file, removed when the file is done.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kleidi-test-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
