// What all clients together may hold. grpc-js has options per connection only,
// so these are enforced here, by calls.ts and connections.ts.
export interface Bounds {
  /** Beyond it, one connection makes room for the new one. */
  readonly connections: number;
  /** Calls that have begun and not ended, over all connections, by weight. */
  readonly openCalls: number;
  /** From its first frame to its end, whatever the client's own deadline is. */
  readonly callMs: number;
}

/** A connection more is never the one that has no call: see `openCalls` below. */
const leastOpenCalls = 1024;

/**
 * Calls open at once on one connection, by SETTINGS_MAX_CONCURRENT_STREAMS: clients
 * keep the rest back. More than an API server has, which asks one after the other.
 */
export const callsPerConnection = 100;

/** Of one message. kube-apiserver never sends more than a few KiB. */
export const maxMessageBytes = 64 * 1024;

/** Node's own measure of one HTTP/2 session; 100 calls of an API server take a tenth. */
export const sessionMemoryMb = 4;

/** Headers of one call. kube-apiserver sends 200 bytes; nghttp2 itself allows 64 KiB. */
export const maxHeaderBytes = 8 * 1024;

/**
 * What connections have sent since the oldest request that is not whole began. Parts of
 * a request keep the buffers alive in which they came, with all else in them: a byte at
 * a time would keep 64 KiB a byte. So this counts what was read, not what is a request.
 */
export const unfinishedBytes = { ofOne: 8 << 20, ofAll: 64 << 20 } as const;

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
