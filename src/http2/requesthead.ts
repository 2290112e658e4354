// The fields of one request, gathered while its header block is read, and whether they are a
// request at all.
// Source: RFC 9113, 8.2 and 8.3; 8.1 for trailers.
import type { Field } from './statictable.ts';

const pseudoFields: ReadonlySet<string> = new Set([':method', ':scheme', ':path', ':authority']);
const needed = [':method', ':scheme', ':path'] as const;
/** They speak of a connection of HTTP/1.1 (RFC 9113, 8.2.2). */
const foreign: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
const soundName = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const unsoundValue = /[\x00\r\n]|^[ \t]|[ \t]$/;

export class RequestHead {
  /** Of the first field that breaks a rule; the stream is reset for it. */
  fault: string | undefined;
  /** Names and values, also of what is not kept any more. */
  bytes = 0;
  readonly #maxBytes: number;
  readonly #fields: Field[] = [];
  #hasPseudoEnded = false;

  /** @param maxBytes what comes beyond is counted and not kept */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Of fields that came twice the first, which no rule of gRPC or HTTP asks for. */
  get(name: string): string | undefined {
    return this.#fields.find((field) => field.name === name)?.value;
  }

  take(field: Field): void {
    this.bytes += field.name.length + field.value.length;
    if (this.fault !== undefined || this.bytes > this.#maxBytes) return;
    this.fault = this.#faultOf(field);
    this.#fields.push(field);
  }

  /** All fields of the first block have come. */
  end(): void {
    const missing = needed.find((name) => (this.get(name) ?? '') === '');
    if (missing !== undefined) this.fault ??= `no ${missing}`;
    this.#hasPseudoEnded = true;
  }

  /** Where the fields came after a body. */
  faultOfTrailers(): string | undefined {
    const isPseudo = this.#fields.some(({ name }) => pseudoFields.has(name));
    return isPseudo ? 'a pseudo-field among trailers' : this.fault;
  }

  #faultOf({ name, value }: Field): string | undefined {
    if (!soundName.test(name)) return 'a name that is none';
    if (unsoundValue.test(value)) return `a value of ${name} that is none`;
    if (name.startsWith(':')) return this.#faultOfPseudo(name);
    this.#hasPseudoEnded = true;
    if (foreign.has(name) || (name === 'te' && value !== 'trailers')) return `${name} is not taken`;
    return undefined;
  }

  #faultOfPseudo(name: string): string | undefined {
    if (!pseudoFields.has(name)) return 'a pseudo-field that is none of a request';
    if (this.#hasPseudoEnded) return `${name} comes too late`;
    return this.get(name) !== undefined ? `${name} comes twice` : undefined;
  }
}
