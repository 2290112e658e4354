// How long work in a token thread may take, and what is said where it takes longer.
import { KleidiError } from '../../errors.ts';

/** How long a piece of work may take, and its name for people. */
export interface Limit {
  readonly what: string;
  readonly stage?: string;
  /** From the request on, the wait for a thread included. */
  readonly timeoutMs: number;
  /** From the call on. */
  readonly stuckMs: number;
}

/** A step of opening: late and stuck are the same. */
export function opening(stage: string, endMs: number): Limit {
  const leftMs = Math.max(1, endMs - performance.now());
  // Told as stuck first: then the process knows why before its callers do.
  return { what: stage, stage, timeoutMs: leftMs + 50, stuckMs: leftMs };
}

export function tooLate({ what, stage, timeoutMs }: Limit): KleidiError {
  if (stage !== undefined) return stuckCall(timeoutMs, stage);
  return new KleidiError('deadline', `the token did not answer ${what} within ${timeoutMs} ms`);
}

export function stuckCall(afterMs: number, stage: string | undefined): KleidiError {
  const text =
    stage === undefined
      ? `a call is stuck in the module for ${afterMs} ms`
      : `the PKCS#11 module hangs in ${stage}: no answer within ${Math.round(afterMs)} ms`;
  return new KleidiError('module-failed', text, {
    stage,
    hint: 'check the HSM and its connection; kleidi starts afresh by itself',
  });
}
