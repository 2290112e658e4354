// What a client can have too much of, and how a call is refused for it.
import { errorCode } from '../http2/frame.ts';
import type { CallStream } from './callstream.ts';
import { grpcStatus } from './grpcstatus.ts';

export type Excess =
  | 'open calls'
  | 'calls at once'
  | 'unfinished requests'
  | 'headers'
  | 'deadline';

export function refuse(stream: CallStream, excess: Excess): void {
  if (stream.isClosed) return;
  if (excess !== 'deadline' || stream.isAnswered) {
    // For gRPC this is RESOURCE_EXHAUSTED.
    stream.reset(errorCode.enhanceYourCalm);
    return;
  }
  stream.refuse({ code: grpcStatus.DEADLINE_EXCEEDED, details: 'the call took too long' });
}
