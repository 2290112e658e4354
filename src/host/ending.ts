// The end of this process over a module that is beyond repair: whoever supervises it starts it
// afresh.
import type { KleidiError } from '../errors.ts';
import { type CrashLoop, killItself } from './crashloop.ts';
import type { Report } from './report.ts';

/** Calls under way at another provider end within this time, if they end at all. */
const drainMs = 6_000;

interface EndingParts {
  readonly marks: CrashLoop;
  readonly report: Report;
  /** Drains and ends the process. */
  restart(reason: string): void;
}

/**
 * @param isOnly whether no other provider is open: calls under way at another one must not
 *   be lost
 */
export function endOverModule(
  { marks, report, restart }: EndingParts,
  error: KleidiError,
  isOnly: boolean,
): void {
  report.killsItself(error);
  marks.die();
  if (isOnly) {
    killItself();
  } else {
    // A call that is stuck in the module must not hold the end up.
    setTimeout(killItself, drainMs).unref();
    restart(error.message);
  }
}
