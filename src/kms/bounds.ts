// What all clients together may hold. HTTP/2 has bounds per connection only, so these are
// enforced here, by calls.ts and connections.ts.
export interface Bounds {
  /** Beyond it, one connection makes room for the new one. */
  readonly connections: number;
  /** Calls that have begun and not ended, over all connections, by weight. */
  readonly openCalls: number;
  /** From its first frame to its end, whatever the client's own deadline is. */
  readonly callMs: number;
}

/** With few connections: what an API server's start may bring. 9 KiB each. */
const leastOpenCalls = 1024;

/**
 * Calls open at once on one connection, by SETTINGS_MAX_CONCURRENT_STREAMS: clients keep
 * the rest back, and lose nothing. Not fewer (RFC 9113, 6.5.2): with `grpc: library` Node counts
 * a stream that it refused for a little longer than its client does.
 */
export const callsPerConnection = 100;

/**
 * Begun within one turn of the event loop, in which nothing is freed and 512 connections
 * can begin 51,200. Beyond, one that begins more than its share is cut.
 */
export const callsPerTurn = { ofOne: 8, ofAll: 1024 } as const;

/** Of one message. kube-apiserver never sends more than a few KiB. */
export const maxMessageBytes = 64 * 1024;

/** Headers of one call. kube-apiserver sends 200 bytes; both carriers allow 64 KiB. */
export const maxHeaderBytes = 8 * 1024;

/**
 * What connections have sent since the oldest request that is not whole began. With
 * `grpc: library` parts of a request keep the buffers alive in which they came, with all else in
 * them: a byte at a time would keep 64 KiB a byte. So this counts what was read, not what is a request.
 */
export const unfinishedBytes = { ofOne: 16 << 20, ofAll: 64 << 20 } as const;

/** State lists every KEK: 0.2 MB at 1,000, kept until the client has read it. */
export const stateWeight = 16;

/** Twice the wait for a token and a wait in the queue; 10 s by default. */
const marginMs = 5_000;

export function boundsOf(limits: {
  readonly queue: number;
  readonly connections: number;
  readonly callTimeoutMs: number;
}): Bounds {
  return {
    connections: limits.connections,
    // Those in work, and two for each connection: where all are open, some connection
    // has more than one that has none yet, and gives way to it.
    openCalls: Math.max(leastOpenCalls, limits.queue + 2 * limits.connections),
    callMs: 2 * limits.callTimeoutMs + marginMs,
  };
}
