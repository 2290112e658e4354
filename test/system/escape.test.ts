// No way leads from the daemon to 127.0.0.1, also where metrics are on the network: a hostile
// PKCS#11 module tries all that it knows in the daemon itself, with each descriptor that it
// holds. The same module gets out where it must: outside the sandbox, and from inside by a TCP
// listener that was inherited, which is why the daemon is never given one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../support/folder.ts';
import { clientOf, installedHost } from '../support/installed.ts';
import { writeUnit } from '../support/sandboxunit.ts';
import { onHosts, type Suite, type SystemHost } from '../support/systemhost.ts';

interface Descriptor {
  readonly descriptor: number;
  /** `done`, or why it is no socket. */
  readonly socket: string;
  readonly domain: number;
  readonly disconnect: string;
  readonly connect: string;
}

interface Tried {
  readonly tried: string;
  readonly result: string;
}

interface Attempts {
  readonly descriptors: readonly Descriptor[];
  readonly others: Readonly<Record<string, string>>;
}

const source = fileURLToPath(new URL('../support/escapemodule.c', import.meta.url));
const trigger = '/run/kleidi-daemon/escape';
const module = '/usr/lib/softhsm-that-escapes.so';
const [unix, inet] = [1, 2];

function built(): Buffer {
  const file = join(temporaryFolder(), 'escape.so');
  const names = {
    ESCAPE_TRIGGER: `"${trigger}"`,
    ESCAPE_REAL: '"/usr/lib/softhsm/libsofthsm2.so"',
    ESCAPE_PORT: '9464',
  };
  const defines = Object.entries(names).map(([name, value]) => `-D${name}=${value}`);
  // Node takes out again what is no add-on of its own; its thread must stay.
  const flags = ['-shared', '-fPIC', '-Wall', '-Wextra', '-Wl,-z,nodelete', ...defines];
  execFileSync('cc', [...flags, '-o', file, source, '-ldl', '-lpthread']);
  return readFileSync(file);
}

/** What came of it in the main process of this unit. */
async function attemptsOf(host: SystemHost, unit: string): Promise<Attempts> {
  const file = `${trigger}.${host.sh(`systemctl show -P MainPID ${unit}`)}`;
  host.sh(`touch ${trigger}; chmod 644 ${trigger}`);
  await host.until(`test -e ${file}`);
  host.sh(`rm ${trigger}`);
  const lines = host.read(file).split('\n');
  const each = lines.map((line) => JSON.parse(line) as Descriptor | Tried);
  const others = each.filter((one) => 'tried' in one);
  return {
    descriptors: each.filter((one) => 'descriptor' in one),
    others: Object.fromEntries(others.map(({ tried, result }) => [tried, result])),
  };
}

/** A socket of systemd, by TCP, for a service that loads the module. */
function writeListener(host: SystemHost, name: string, port: number): void {
  const socket = `[Socket]\nListenStream=127.0.0.1:${port}\n`;
  host.write(`/run/systemd/system/${name}.socket`, socket);
  host.write(
    '/usr/lib/kleidi/load.cjs',
    `try { process.dlopen({ exports: {} }, '${module}') } catch {}
     setTimeout(() => {}, 600_000);`,
  );
}

function startWithListener(host: SystemHost, name: string): void {
  host.sh(`systemctl daemon-reload; systemctl start ${name}.socket ${name}.service`);
}

/** The TCP listener that it was given. */
const listenerOf = ({ descriptors }: Attempts): Descriptor | undefined =>
  descriptors.find(({ domain }) => domain === inet);

async function check(suite: Suite): Promise<void> {
  const on = (name: string): string => `${suite}: ${name}`;
  const host = await installedHost({ suite });
  await host.until('kleidi status');
  host.write(module, built(), 0o755);
  host.sh('systemctl enable --now kleidi-metrics.socket');

  test(on('outside the sandbox the module connects, also by an inherited listener'), async () => {
    writeListener(host, 'outside', 9001);
    const start = '/usr/lib/kleidi/bin/node /usr/lib/kleidi/load.cjs';
    host.write('/run/systemd/system/outside.service', `[Service]\nExecStart=${start}\n`);
    startWithListener(host, 'outside');
    const attempts = await attemptsOf(host, 'outside.service');
    assert.equal(attempts.others['AF_INET'], 'done');
    assert.equal(attempts.others['unshare'], 'done');
    const { disconnect, connect } = listenerOf(attempts) ?? {};
    assert.deepEqual([disconnect, connect], ['done', 'done']);
  });

  test(on('inside the sandbox it would connect by a listener of TCP'), async () => {
    writeListener(host, 'inside', 9002);
    writeUnit(host, 'inside', 'exec', '/usr/lib/kleidi/load.cjs');
    startWithListener(host, 'inside');
    const attempts = await attemptsOf(host, 'inside.service');
    assert.equal(attempts.others['AF_INET'], 'EAFNOSUPPORT');
    const { disconnect, connect } = listenerOf(attempts) ?? {};
    assert.deepEqual([disconnect, connect], ['done', 'done']);
  });

  test(on('the daemon itself cannot, by no family and by none of its descriptors'), async () => {
    host.write('/etc/kleidi/kleidi.yaml', `pkcs11:\n  module: ${module}\n`);
    host.sh('systemctl restart kleidi');
    await host.until('kleidi status && test -S /run/kleidi-daemon/metrics/metrics.sock');
    const client = clientOf(host);
    await client.encrypt(Buffer.alloc(32, 7));
    const { descriptors, others } = await attemptsOf(host, 'kleidi.service');
    client.close();
    assert.deepEqual(others, {
      AF_INET: 'EAFNOSUPPORT',
      'AF_INET datagrams': 'EAFNOSUPPORT',
      AF_INET6: 'EAFNOSUPPORT',
      AF_NETLINK: 'EAFNOSUPPORT',
      AF_PACKET: 'EAFNOSUPPORT',
      AF_VSOCK: 'EAFNOSUPPORT',
      io_uring: 'EPERM',
      unshare: 'EPERM',
      setns: 'ENOENT',
    });
    const sockets = descriptors.filter(({ socket }) => socket === 'done');
    // Both listeners, a client, the log.
    assert.ok(sockets.length >= 4, JSON.stringify(descriptors));
    for (const each of sockets) assert.equal(each.domain, unix, JSON.stringify(each));
    for (const each of descriptors)
      assert.match(each.connect, /^(?:EINVAL|ENOTSOCK|EISCONN)$/, JSON.stringify(each));
  });
}

await onHosts(async () => {
  await check('bookworm');
  await check('trixie');
});
