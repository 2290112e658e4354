// Where kleidi stands in kube-apiserver of a host, by its files.

import type { Apiserver } from './installation.ts';
import { isFlagged } from './installation.ts';
import type { Phase } from './phase.ts';
import { configurationOf, planEnable } from './plan.ts';
import type { ChangeRecord } from './record.ts';

export interface Standing {
  readonly hasConfiguration: boolean;
  /** Undefined: kleidi is not in it. */
  readonly phase: Phase | undefined;
  /** Whether the flags of kube-apiserver name it. */
  readonly isEnabled: boolean;
  /** Whether all is there that `enable` has made, and `disable` has not taken. */
  readonly isIntact: boolean;
}

/** Reads. @throws KleidiError refused, file-failed */
export function standingOf(apiserver: Apiserver, record: ChangeRecord | undefined): Standing {
  const configuration = configurationOf(apiserver);
  const phase = configuration?.phase;
  const isEnabled = isFlagged(apiserver);
  // kubeadm makes the static pod anew at an upgrade, without what it does not know.
  const isToBe = isEnabled || record?.firstOf(apiserver.distribution.flagFile) !== undefined;
  const isIntact =
    !isToBe || (phase !== undefined && planEnable(apiserver, phase).changes.length === 0);
  return { hasConfiguration: configuration !== undefined, phase, isEnabled, isIntact };
}
