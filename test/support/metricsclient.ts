// A client of the metrics over their unix socket, and what its answers say.
import { request } from 'node:http';
import { join } from 'node:path';
import type { TestHost } from './host.ts';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

export const metricsSocketOf = (host: TestHost): string =>
  join(host.folder, 'run/metrics/metrics.sock');

export function get(
  socketPath: string,
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0, headers: found } = response;
        const text = Buffer.concat(parts).toString();
        resolve({ status, type: found['content-type'] ?? '', text });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** The value of one sample, as it is written: `name{label="value"}`. */
export function sampleOf(text: string, sample: string): number | undefined {
  const line = text.split('\n').find((each) => each.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}
