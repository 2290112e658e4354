// node --random-seed=1 compile.mjs PROGRAM CACHE: what V8 makes of the program at a
// start of the daemon, so that an installed one need not compile it (src/load.ts).
// V8 leaves the seed out of what it compares; without one, no two caches are equal.
import { hash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Script } from 'node:vm';

const [path = '', cache = ''] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'kleidi-compile-'));
const source = readFileSync(path);
// V8 keeps this name in the cache, so it is no path of the machine that builds.
const script = new Script(source.toString('latin1'), { filename: 'program.js' });

process.once('exit', () => {
  rmSync(folder, { recursive: true });
  const digest = hash('sha256', source, 'buffer');
  writeFileSync(cache, Buffer.concat([digest, script.createCachedData()]));
});

// A whole start without a ring, and its end.
const config = join(folder, 'kleidi.yaml');
writeFileSync(
  config,
  JSON.stringify({
    ring: join(folder, 'ring.json'),
    runtimeDir: folder,
    pkcs11: { module: join(folder, 'missing'), pin: `file:${join(folder, 'pin')}` },
  }),
);
writeFileSync(join(folder, 'pin'), '123456', { mode: 0o600 });
const program = {};
script.runInThisContext()(program, createRequire(path), pathToFileURL(path).href);
// The cache holds what has run until then, which must not depend on the speed of this
// machine: none of the program's timers fires but those that its end waits for, and the
// end comes where nothing is under way.
const socket = join(folder, 'socket');
const isIdle = () => !process.getActiveResourcesInfo().some((kind) => kind.startsWith('FSReq'));
// V8 numbers functions in the order in which it meets them, and keeps the numbers of the
// program's: what is only called at a time that the machine chooses is met before.
isIdle();
existsSync(socket);
process.kill(process.pid, 0);
let idleLooks = 0;
setInterval(() => {
  if (idleLooks === 3) mock.timers.tick(10);
  else if (!existsSync(socket) || !isIdle()) idleLooks = 0;
  else if (++idleLooks === 3) process.kill(process.pid, 'SIGTERM');
}, 10);
mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
// It ends the process itself; where it returns, it has failed.
process.exit(await program.main(['serve', '--config', config, '--socket', socket]));
