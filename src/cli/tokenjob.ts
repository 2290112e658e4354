// What a token child reads: JSON lines on standard input, until it is closed.
import { createInterface } from 'node:readline';

export async function* readJob(): AsyncGenerator<Record<string, unknown>, Record<string, unknown>> {
  for await (const line of createInterface({ input: process.stdin })) {
    yield JSON.parse(line) as Record<string, unknown>;
  }
  return {};
}
