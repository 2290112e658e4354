// What came of calls since the start of this process, for the metrics. Counted on the way
// of each call, so it does nothing else: two additions in maps that hardly grow.
import { errorKinds } from '../errors.ts';
import { callBoundsSeconds, Histogram } from './histogram.ts';

interface RpcCounts {
  /** By the name of the gRPC status. */
  readonly byCode: Map<string, number>;
  readonly duration: Histogram;
}

const codes = ['OK', ...new Set(Object.values(errorKinds).map(({ grpc }) => grpc))];
const rpcs = ['Status', 'Encrypt', 'Decrypt', 'State'];

export class CallCounts {
  /** Each is there from the start: a rate needs the zero before the first one. */
  readonly byRpc: ReadonlyMap<string, RpcCounts> = new Map(
    rpcs.map((rpc) => [
      rpc,
      {
        byCode: new Map(codes.map((code) => [code, 0])),
        duration: new Histogram(callBoundsSeconds),
      },
    ]),
  );
  /** Refused or cut because clients asked for too much, by reason. */
  readonly bounded = new Map<string, number>();
  /** Connections that made room for others. */
  displaced = 0;

  answered(rpc: string, code: string, ms: number): void {
    const counts = this.byRpc.get(rpc);
    if (counts === undefined) return;
    counts.byCode.set(code, (counts.byCode.get(code) ?? 0) + 1);
    counts.duration.observe(ms / 1000);
  }

  cut(reason: string): void {
    this.bounded.set(reason, (this.bounded.get(reason) ?? 0) + 1);
  }
}
