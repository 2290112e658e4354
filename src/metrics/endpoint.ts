// HTTP over a unix socket: GET /metrics, /healthz, /readyz. What clients of it can hold is
// bounded as for gRPC: at the limit of connections the oldest makes room, so that whoever
// comes last is answered; headers, requests and answers have a size or a time.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Serving } from '../kms/serving.ts';
import { type MetricSources, metricFamilies } from './families.ts';
import { LoopLag } from './looplag.ts';
import { contentTypes, type Format, metricsText } from './openmetrics.ts';

const maxConnections = 16;
const maxHeaderBytes = 16 * 1024;
/** For the headers, for the whole request, and again for the answer to be taken. */
const patienceMs = 5_000;
/** Within it all get one text: who asks a hundred times a second costs four. */
const freshMs = 250;

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly type?: string;
}

interface Kept {
  readonly madeMs: number;
  readonly text: string;
}

export class MetricsEndpoint {
  /** Listens nowhere yet. */
  readonly server: Server;
  readonly #sources: MetricSources;
  readonly #lag = new LoopLag();
  readonly #kept = new Map<Format, Kept>();
  readonly #open = new Set<Socket>();

  constructor(sources: MetricSources) {
    this.#sources = sources;
    this.server = createServer(
      {
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: patienceMs,
        requestTimeout: patienceMs,
        connectionsCheckingInterval: 1_000,
        keepAliveTimeout: patienceMs,
      },
      (request, response) => this.#answer(request, response),
    );
    this.server.on('connection', (socket) => this.#admit(socket));
  }

  close(): void {
    this.#lag.stop();
    this.server.close();
    for (const socket of this.#open) socket.destroy();
  }

  #admit(socket: Socket): void {
    const [oldest] = this.#open;
    if (this.#open.size >= maxConnections) oldest?.destroy();
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const timer = setTimeout(() => socket.destroy(), patienceMs).unref();
    response.once('close', () => clearTimeout(timer));
    const { status, text, type = 'text/plain; charset=utf-8' } = this.#answerTo(request);
    if (status === 405) response.setHeader('allow', 'GET');
    // A body that nobody asked for is not waited for.
    if (status === 400 || status === 405) response.setHeader('connection', 'close');
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
    response.end(text);
  }

  #answerTo({ method, url = '', headers }: IncomingMessage): Answer {
    if (method !== 'GET') return { status: 405, text: 'only GET is answered\n' };
    if ('content-length' in headers || 'transfer-encoding' in headers) {
      return { status: 400, text: 'a request has no body here\n' };
    }
    switch (url.replace(/\?.*/s, '')) {
      case '/metrics':
        return this.#metrics(headers.accept ?? '');
      case '/healthz':
        return health(this.#sources.serving, true);
      case '/readyz':
        return health(this.#sources.serving, false);
      default:
        return { status: 404, text: 'there are /metrics, /healthz and /readyz\n' };
    }
  }

  #metrics(accept: string): Answer {
    const format = accept.includes('application/openmetrics-text') ? 'openmetrics' : 'prometheus';
    return { status: 200, text: this.#text(format), type: contentTypes[format] };
  }

  #text(format: Format): string {
    const kept = this.#kept.get(format);
    const nowMs = performance.now();
    if (kept !== undefined && nowMs - kept.madeMs < freshMs) return kept.text;
    const text = metricsText(metricFamilies(this.#sources, this.#lag), format);
    this.#kept.set(format, { madeMs: nowMs, text });
    return text;
  }
}

/** Ready is who can seal and open; healthy, who lacks no KEK besides, as kube-apiserver has it. */
function health(serving: Serving, isWhole: boolean): Answer {
  const found = serving.health();
  if (found.kind === 'failed') return { status: 503, text: `${found.error.publicText}\n` };
  if (isWhole && found.healthz !== 'ok') return { status: 503, text: `${found.healthz}\n` };
  return { status: 200, text: 'ok\n' };
}
