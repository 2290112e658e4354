// A child that asks for metrics as nobody should, while its parent says so: 100 scrapes a second,
// a scraper that never reads, and 10 MB of headers a second. It says how often it was answered.
//   scrapers.ts SOCKET     by fork; takes `start` and `stop`, answers `stop` with Scraped once each was at work
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { get } from './metricsclient.ts';

export interface Scraped {
  /** Scrapes that were answered with the metrics. */
  readonly answered: number;
  readonly failed: number;
  /** Connections of the scraper that never reads. */
  readonly unread: number;
  /** Connections that were cut for their headers. */
  readonly cut: number;
}

const [, , path = ''] = process.argv;
const headerBytes = 10_000_000;
const block = Buffer.from(`x: ${'y'.repeat(9_996)}\r\n`);
let now = { answered: 0, failed: 0, unread: 0, cut: 0 };
let isOn = false;

async function whileOn(everyMs: number, deed: () => unknown): Promise<void> {
  for (let next = performance.now(); isOn; next += everyMs) {
    await deed();
    await sleep(Math.max(0, next + everyMs - performance.now()));
  }
}

function scrape(): void {
  const ended = get(path, '/metrics').catch(() => undefined);
  void ended.then((answer) => {
    if (answer?.status === 200) now.answered += 1;
    else now.failed += 1;
  });
}

function open(): Socket {
  return connect(path).on('error', () => undefined);
}

/** Unlike `once`, no error of the socket ends it: `close` comes after that. */
const next = (socket: Socket, event: string): Promise<unknown> =>
  new Promise((resolve) => socket.once(event, resolve));

async function neverRead(): Promise<void> {
  const socket = open().pause();
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500));
  now.unread += 1;
  // It hears of no end, as it does not read.
  for (let i = 0; i < 20 && isOn; i += 1) await sleep(100);
  socket.destroy();
}

async function sendHeaders(): Promise<void> {
  const socket = open().resume();
  const closed = next(socket, 'close');
  socket.write('GET /metrics HTTP/1.1\r\n');
  for (let sent = 0; sent < headerBytes && !socket.destroyed; sent += block.length)
    if (!socket.write(block)) await Promise.race([next(socket, 'drain'), closed]);
  if (socket.destroyed) now.cut += 1;
  socket.destroy();
  await closed;
}

let running: Promise<unknown> = Promise.resolve();
process.on('message', async (message) => {
  if (message === 'start') {
    isOn = true;
    now = { answered: 0, failed: 0, unread: 0, cut: 0 };
    const works = [whileOn(10, scrape), whileOn(0, neverRead), whileOn(1_000, sendHeaders)];
    running = Promise.all(works);
    return;
  }
  while (Math.min(now.answered, now.unread, now.cut) === 0) await sleep(20);
  isOn = false;
  await running;
  process.send?.(now);
});
process.on('disconnect', () => process.exit());
