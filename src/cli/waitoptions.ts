// --wait of the commands that change what the running kube-apiserver of this host uses.
import type { Waiting } from '../admin/apiserver/livewait.ts';
import { usage } from '../errors.ts';
import { flag, text } from './option.ts';
import { kubeconfigOption } from './sharedoptions.ts';

const defaultSeconds = 300;
const maxSeconds = 86_400;

/** @param meaning what is waited for */
export function waitOptions(meaning: string) {
  return {
    wait: flag(meaning),
    timeout: text('SECONDS', `how long --wait waits, default ${defaultSeconds}`),
    kubeconfig: kubeconfigOption,
  };
}

interface Given {
  readonly flag: (name: 'wait') => boolean;
  readonly text: (name: 'timeout' | 'kubeconfig') => string | undefined;
}

/** Undefined where nothing is to be waited for. Before anything is changed. @throws KleidiError usage */
export function waitingOf({ flag: isSet, text: given }: Given): Waiting | undefined {
  const timeout = given('timeout');
  if (!isSet('wait')) {
    if (timeout !== undefined) throw usage('--timeout is for --wait, which is missing');
    return undefined;
  }
  return { kubeconfig: given('kubeconfig'), patienceMs: secondsOf(timeout) * 1_000 };
}

function secondsOf(text: string | undefined): number {
  if (text === undefined) return defaultSeconds;
  const seconds = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  if (seconds <= maxSeconds) return seconds;
  throw usage(`'${text}' is no number of seconds from 1 to ${maxSeconds}`);
}
