// Statuses of gRPC by their names, and what a call is refused with. Not grpc-js's own table:
// the fast path answers without loading that package.
// Source: doc/statuscodes.md of grpc/grpc.
import type { KleidiError } from '../errors.ts';

export const grpcStatus = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

export interface Refusal {
  readonly code: number;
  /** For the client: no path, no secret. */
  readonly details: string;
}

export function refusalOf(error: KleidiError): Refusal {
  return { code: grpcStatus[error.kind.grpc], details: error.publicText };
}
