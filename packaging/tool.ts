// Runs a tool of the build machine; where it is missing, says which package has it.
import { spawnSync } from 'node:child_process';

const packages: Readonly<Record<string, string>> = {
  'apt-cache': 'apt (Debian, Ubuntu)',
  'apt-get': 'apt (Debian, Ubuntu)',
  'dpkg-deb': 'dpkg',
  rpmbuild: 'rpm',
  objdump: 'binutils',
  strip: 'binutils',
  checkmodule: 'checkpolicy',
  semodule_package: 'semodule-utils',
};

export interface ToolOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** @throws Error with the tool's own output */
export function runTool(tool: string, args: readonly string[], options: ToolOptions = {}): string {
  const { error, status, stdout, stderr } = spawnSync(tool, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC', ...options.env },
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (error !== undefined) {
    throw new Error(`${tool} cannot be run; it is in the package ${packages[tool] ?? tool}`, {
      cause: error,
    });
  }
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')} failed:\n${stdout}${stderr}`);
  return stdout;
}
